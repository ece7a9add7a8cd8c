// One line chart as SVG: several series over one time axis, round ticks, and a crosshair that reads values.
// It keeps nothing: draw() is given all points each time. Texts go in by textContent only.

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 168, TOP = 8, BOTTOM = 18, LEFT = 2;
export const COLOURS = 6;

function svg(name, attributes, kind) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (kind) made.setAttribute("class", kind);
  return made;
}

// About `wanted` round values that span [least, most].
function ticks(least, most, wanted) {
  const rough = (most - least) / wanted, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map(factor => factor * power).find(size => size >= rough);
  const found = [];
  for (let index = Math.ceil(least / step - 1e-9); index * step <= most + step * 1e-9; index++) found.push(index * step + 0);  // + 0: no -0
  return found;
}

const clock = time => new Date(time).toISOString().slice(11, 19);

export class Chart {
  // show: value → text of the axis and the legend. logarithmic: for values over several powers of ten. grain: () → the
  // least difference that show() tells apart.
  constructor(holder, show, {logarithmic = false, zero = false, grain = () => 0} = {}) {
    this.show = show; this.grain = grain; this.logarithmic = logarithmic; this.zero = zero; this.hover = null;
    this.svg = svg("svg", {role: "img"});
    this.legend = document.createElement("div"); this.legend.className = "legend";
    const box = document.createElement("div"); box.className = "chart";
    box.append(this.svg, this.legend); holder.append(box);
    this.svg.addEventListener("pointermove", event => { this.hover = event.offsetX; this.redraw(); });
    this.svg.addEventListener("pointerleave", () => { this.hover = null; this.redraw(); });
  }

  // series: [{name, colour (0..5), dashed, points: [[time, value or null], …]}]; marks: [{time, value, kind, text}].
  // begin, end: of the time axis, ms.
  draw(series, begin, end, marks = []) {
    this.last = [series, begin, end, marks];
    const scale = value => this.logarithmic ? Math.log10(Math.max(value, 1e-9)) : value;
    const values = series.flatMap(one => one.points).map(point => point[1]).filter(value => value !== null).map(scale);
    const width = this.svg.clientWidth || 400, low = HEIGHT - BOTTOM;
    this.svg.replaceChildren();
    this.svg.setAttribute("aria-label", series.map(one => one.name).join(", "));
    if (!values.length) { this.text(LEFT, 24, "nothing yet"); this.legend.replaceChildren(); return; }

    let least = Infinity, most = -Infinity;
    for (const value of values) { least = Math.min(least, value); most = Math.max(most, value); }
    if (this.zero) { least = Math.min(least, 0); most = Math.max(most, 0); }
    if (most - least < 1e-12 * Math.max(Math.abs(most), 1e-6)) { const by = Math.abs(most) * 1e-4 || 1; most += by; least -= by; }
    const lacking = 4 * this.grain() - (most - least);
    if (lacking > 0) { most += lacking / 2; least -= lacking / 2; }
    const room = (most - least) * 0.06; most += room; least -= room;

    let steps = this.logarithmic ? ticks(least, most, 4).filter(value => Number.isInteger(value)) : ticks(least, most, 4);
    if (this.logarithmic && steps.length < 2) steps = ticks(least, most, 3);
    const labels = steps.map(value => this.show(this.logarithmic ? 10 ** value : value));
    const right = Math.max(...labels.map(label => label.length)) * 6.6 + 8;
    const x = time => LEFT + (width - LEFT - right) * (time - begin) / (end - begin);
    const y = value => low - (low - TOP) * (scale(value) - least) / (most - least);
    steps.forEach((value, index) => {
      const at = low - (low - TOP) * (value - least) / (most - least);
      const kind = !this.logarithmic && Math.abs(value) < 1e-12 && least < 0 && most > 0 ? "zero" : "grid";
      this.svg.append(svg("line", {x1: LEFT, x2: width - right, y1: at, y2: at}, kind));
      this.text(width - right + 6, at + 4, labels[index]);
    });
    const middle = (begin + end) / 2;
    this.text(LEFT, HEIGHT - 4, clock(begin));
    if (width > 320) this.text(x(middle), HEIGHT - 4, clock(middle), "middle");
    this.text(width - right, HEIGHT - 4, clock(end), "end");

    for (const one of series) {
      let way = "", pen = false;
      for (const [time, value] of one.points) {
        if (value === null || time < begin) { pen = false; continue; }
        way += `${pen ? "L" : "M"}${x(time).toFixed(1)},${y(value).toFixed(1)}`; pen = true;
      }
      if (way) this.svg.append(svg("path", {d: way}, `s${one.colour}${one.dashed ? " dashed" : ""}`));
    }
    for (const mark of marks) {
      const at = scale(mark.value);
      if (mark.time < begin || mark.time > end || at < least || at > most) continue;
      const px = x(mark.time), py = y(mark.value), up = mark.kind === "bid" ? 1 : -1;
      const made = svg("polygon", {points: `${px},${py} ${px - 3.5},${py + 6.5 * up} ${px + 3.5},${py + 6.5 * up}`}, `mark ${mark.kind}`);
      const title = svg("title", {}); title.textContent = mark.text; made.append(title);
      this.svg.append(made);
    }
    this.key(series, begin, end, width - right, x);
  }

  // The legend: the last value of each series, or the one under the crosshair.
  key(series, begin, end, edge, x) {
    const reads = this.hover !== null && this.hover <= edge;
    const when = reads ? begin + (end - begin) * (this.hover - LEFT) / (edge - LEFT) : end;
    this.legend.replaceChildren();
    let found = null;
    for (const one of series) {
      const point = reads
        ? one.points.reduce((best, next) => best === null || Math.abs(next[0] - when) < Math.abs(best[0] - when) ? next : best, null)
        : one.points[one.points.length - 1] ?? null;
      if (reads && point) found = point[0];
      const key = document.createElement("span"), mark = document.createElement("i"), value = document.createElement("b");
      mark.className = `f${one.colour}${one.dashed ? " dashed" : ""}`;
      value.textContent = point === null || point[1] === null ? "–" : this.show(point[1]);
      key.append(mark, one.name, value);
      this.legend.append(key);
    }
    if (found !== null) {
      this.svg.append(svg("line", {x1: x(found), x2: x(found), y1: TOP, y2: HEIGHT - BOTTOM}, "cross"));
      const time = document.createElement("span"); time.className = "quiet"; time.textContent = `${clock(found)} UTC`;
      this.legend.append(time);
    }
  }

  redraw() { if (this.last) this.draw(...this.last); }

  text(x, y, text, anchor = "start") {
    const made = svg("text", {x, y, "text-anchor": anchor});
    made.textContent = text;
    this.svg.append(made);
  }
}
