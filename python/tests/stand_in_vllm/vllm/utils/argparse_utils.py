"""STAND-IN: the parser of vLLM's command line."""

import argparse


class FlexibleArgumentParser(argparse.ArgumentParser):
    pass
