//! PNG files from SVG, in builds with the feature `png`.

/// Why there is no PNG.
#[derive(Debug, thiserror::Error)]
pub enum PngError {
    /// The feature is off.
    #[error(
        "this build draws no PNG: build it with `cargo build --release --features png`, or ask for `--plots svg`"
    )]
    NotBuilt,
    /// Text would be missing.
    #[error(
        "this machine has no font, so a PNG would have no text: install one (`fonts-dejavu-core`), or ask for `--plots svg`"
    )]
    NoFont,
    /// The picture cannot be drawn.
    #[error("the picture cannot be drawn as PNG ({0}): ask for `--plots svg`")]
    Drawing(String),
}

/// Whether this build and this machine draw PNG files.
///
/// # Errors
/// With what is missing.
pub fn check() -> Result<(), PngError> {
    drawing::check()
}

/// The picture in twice the pixels of the SVG, so that its text is sharp on any screen.
///
/// # Errors
/// When this build or this machine cannot, or the SVG is none.
pub fn from_svg(svg: &str) -> Result<Vec<u8>, PngError> {
    drawing::from_svg(svg)
}

#[cfg(not(feature = "png"))]
mod drawing {
    use super::PngError;

    pub(super) fn check() -> Result<(), PngError> {
        Err(PngError::NotBuilt)
    }

    pub(super) fn from_svg(_svg: &str) -> Result<Vec<u8>, PngError> {
        Err(PngError::NotBuilt)
    }
}

#[cfg(feature = "png")]
mod drawing {
    use std::sync::Arc;

    use resvg::tiny_skia::{Pixmap, Transform};
    use resvg::usvg::fontdb::Database;
    use resvg::usvg::{Options, Tree};

    use super::PngError;

    const PIXELS: f32 = 2.0;

    fn fonts() -> Result<Arc<Database>, PngError> {
        let mut fonts = Database::new();
        fonts.load_system_fonts();
        let Some(any) = fonts.faces().next() else { return Err(PngError::NoFont) };
        // Where none of the families that a picture names is there, any font is better than no text.
        let family = any.families.first().map(|(name, _)| name.clone());
        let known =
            fonts.faces().any(|face| face.families.iter().any(|(name, _)| name == "DejaVu Sans"));
        let family = if known { Some("DejaVu Sans".to_owned()) } else { family };
        fonts.set_sans_serif_family(family.unwrap_or_default());
        Ok(Arc::new(fonts))
    }

    pub(super) fn check() -> Result<(), PngError> {
        fonts().map(|_| ())
    }

    pub(super) fn from_svg(svg: &str) -> Result<Vec<u8>, PngError> {
        let options = Options { fontdb: fonts()?, ..Options::default() };
        let failed = |error: &dyn std::fmt::Display| PngError::Drawing(error.to_string());
        let tree = Tree::from_str(svg, &options).map_err(|error| failed(&error))?;
        let size = tree.size();
        let (width, height) = ((size.width() * PIXELS) as u32, (size.height() * PIXELS) as u32);
        let mut pixels = Pixmap::new(width, height).ok_or_else(|| failed(&"it has no size"))?;
        resvg::render(&tree, Transform::from_scale(PIXELS, PIXELS), &mut pixels.as_mut());
        pixels.encode_png().map_err(|error| failed(&error))
    }
}
