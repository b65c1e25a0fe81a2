// What a reader would find wrong with a page of ours: pairs of kind and sentence. It is called in the page, once for each view.
(view) => {
  const faults = [];
  const fault = (kind, sentence) => faults.push([kind, sentence]);
  const short = (text) => text.trim().replace(/\s+/g, " ").slice(0, 60);
  const name = (element) => {
    const caption = element.closest("figure")?.querySelector("figcaption");
    const inside = caption ? ` in the plot "${short(caption.firstChild.textContent)}"` : "";
    return `<${element.localName}> "${short(element.textContent)}"${inside}`;
  };
  const shown = (selector) => [...document.querySelectorAll(selector)].filter((element) => element.checkVisibility());
  const box = (element) => element.getBoundingClientRect();
  const is_outside = (inner, outer, slack) =>
    inner.left < outer.left - slack || inner.right > outer.right + slack || inner.top < outer.top - slack || inner.bottom > outer.bottom + slack;

  // Nothing but the box of a table is scrolled sideways, and on paper not even that.
  const room = document.documentElement.clientWidth;
  const boxes = ".scroll, figure";
  if (document.body) {
    const width = document.documentElement.scrollWidth;
    if (width > room) fault("layout", `the page is ${width} px wide, and the window ${room} px`);
    for (const element of shown("body *")) {
      if (element.closest(boxes) && !element.matches(boxes)) continue;
      if (box(element).right > room + 1) fault("layout", `${name(element)} reaches beyond the window`);
    }
    for (const element of shown(".scroll > table, figure > svg")) {
      const beyond = Math.round(box(element).right - box(element.parentElement).right);
      if ((view === "paper" || element.matches("svg")) && beyond > 1) fault("layout", `${name(element)} is cut ${beyond} px before its right edge`);
    }
  }

  // Every plot has marks inside it, and text that is neither cut nor covered nor tiny.
  for (const svg of shown("svg")) {
    const frame = box(svg);
    const marks = [...svg.querySelectorAll('.line, .dot, .hollow, .dots, .heat, rect:not(.margin, [width="100%"]), path[style]')];
    const drawn = marks.filter((mark) => mark.matches(".dots") || mark.getTotalLength() > 0);
    if (drawn.length === 0) fault("marks", `${name(svg)} has none`);
    for (const mark of drawn) {
      if (is_outside(box(mark), frame, 1)) fault("marks", `a <${mark.localName} class="${mark.getAttribute("class")}"> lies outside of ${name(svg)}`);
    }
    const texts = [...svg.querySelectorAll("text")];
    const scale = frame.width / svg.viewBox.baseVal.width;
    for (const text of texts) {
      if (is_outside(box(text), frame, 0.5)) fault("layout", `${name(text)} is cut at the edge`);
      const size = parseFloat(getComputedStyle(text).fontSize) * scale;
      if (size < (view === "paper" ? 6 : 7.5)) fault("layout", `${name(text)} is ${size.toFixed(1)} px high`);
    }
    texts.forEach((one, index) => {
      for (const other of texts.slice(index + 1)) {
        const [a, b] = [box(one), box(other)];
        const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        // The box of a line of text is higher than its letters.
        if (across > 0.5 && down > 0.3 * Math.min(a.height, b.height)) fault("layout", `${name(one)} covers "${short(other.textContent)}"`);
      }
    });
  }

  // Text and marks stand out from what is behind them: the ratios of WCAG, for marks a little less.
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const luminance = (colour) => {
    const linear = (part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    const [red, green, blue] = colour.slice(0, 3).map((part) => linear(part / 255));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = rgba(getComputedStyle(at).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return rgba("white");
  };
  const faint = new Map();
  const hold = (element, colour, least, ground = element) => {
    const [low, high] = [luminance(rgba(colour)), luminance(behind(ground))].sort((a, b) => a - b);
    const ratio = (high + 0.05) / (low + 0.05);
    // One sentence for each colour is enough.
    if (ratio < least) faint.set(colour, `${name(element)} is faint: ${colour} has a contrast of ${ratio.toFixed(1)}`);
  };
  const style = (element) => getComputedStyle(element);
  for (const element of shown("h1, h2, h3, p, li, th, td, small, code, b, span, summary, footer, .name, .more, .value")) {
    if (short(element.textContent)) hold(element, style(element).color, 4.5);
  }
  for (const text of shown("svg text")) hold(text, style(text).fill, 4.5);
  for (const mark of shown(".line, .hollow, .dots")) hold(mark, style(mark).stroke, 2.5);
  for (const mark of shown('.dot, svg rect:not(.margin, [width="100%"])')) hold(mark, style(mark).fill, 2.5);
  for (const key of shown(".legend i")) hold(key, style(key).backgroundColor, 2.5, key.parentElement);
  for (const sentence of faint.values()) fault("contrast", sentence);

  // The keys of a legend are told apart.
  for (const legend of shown(".legend")) {
    const colours = [...legend.querySelectorAll("i")].map((key) => style(key).backgroundColor);
    if (new Set(colours).size < colours.length) fault("contrast", `two keys of ${name(legend)} have one colour`);
  }
  return faults;
}
