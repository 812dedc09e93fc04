// Figures: the drawing for paper is there at once; the interactive one takes its place when it comes into view.

const INK = "#1c2733";
const GAP = { left: 52, right: 14, top: 30, bottom: 50 };

let plotly;

async function drawer() {
  const script = make("script");
  script.textContent = await get("plotly");
  document.head.append(script);
  return globalThis.Plotly;
}

async function show(figure) {
  plotly ??= drawer();
  const [Plotly, specs] = [await plotly, JSON.parse(await get("figures"))];
  const spec = specs[figure.id.slice("figure-".length)];
  const target = figure.querySelector(".interactive");
  const draw = () => {
    const width = target.clientWidth;
    const options = { displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] };
    return Plotly.react(target, spec.traces, layout(spec, width), options);
  };
  target.hidden = false;
  await draw();
  figure.querySelector(".static").classList.add("print-only");
  let width = target.clientWidth;
  new ResizeObserver(() => {
    if (target.clientWidth && target.clientWidth !== width) {
      width = target.clientWidth;
      draw();
    }
  }).observe(target);
}

function layout(spec, width) {
  const count = spec.panels.length;
  const wide = spec.width > width;
  const columns = Math.max(1, Math.min(count, 4, Math.floor(width / spec.width)));
  const lines = Math.ceil(count / columns);
  const heights = Array.from({ length: lines }, (_, line) => Math.max(...spec.heights.slice(line * columns, (line + 1) * columns)));
  const below = legendHeight(spec, width);
  const tall = heights.reduce((sum, height) => sum + height, 0);
  const made = {
    width,
    height: tall + below,
    margin: { l: 8, r: 8, t: 0, b: below, pad: 2 },
    font: { family: "system-ui, sans-serif", size: 12, color: INK },
    plot_bgcolor: spec.background ?? "#fff",
    hovermode: "closest",
    barmode: spec.barmode,
    bargap: 0.25,
    legend: { orientation: "h", yref: "container", y: 0, yanchor: "bottom", x: 0, xanchor: "left" },
    annotations: [],
  };
  const inner = width - made.margin.l - made.margin.r;
  spec.panels.forEach((title, index) => {
    const [line, column] = [Math.floor(index / columns), index % columns];
    const top = heights.slice(0, line).reduce((sum, height) => sum + height, 0);
    const suffix = index ? index + 1 : "";
    const each = inner / columns;
    const left = wide ? 0 : (column * each + GAP.left) / inner;
    const right = wide ? 1 : ((column + 1) * each - GAP.right) / inner;
    const high = 1 - (top + GAP.top) / tall;
    const low = 1 - (top + heights[line] - (wide && spec.background ? 100 : GAP.bottom)) / tall;
    const grid = { gridcolor: "#e3e7eb", zeroline: false, linecolor: "#9aa5b1", ticks: "outside", ticklen: 3 };
    made[`xaxis${suffix}`] = { ...grid, ...spec.x, domain: [left, right], anchor: `y${suffix}` };
    made[`yaxis${suffix}`] = { ...grid, automargin: wide, ...spec.y[index], domain: [low, high], anchor: `x${suffix}` };
    made.annotations.push({
      text: title, showarrow: false, xref: "paper", yref: "paper",
      x: wide ? 0 : (left + right) / 2, xanchor: wide ? "left" : "center", y: high, yanchor: "bottom", font: { size: 12 },
    });
  });
  return made;
}

function legendHeight(spec, width) {
  const names = spec.traces.filter((trace) => trace.showlegend).map((trace) => trace.name ?? "");
  if (!names.some(Boolean)) return 4;
  const across = Math.max(1, Math.floor(width / (60 + 7 * Math.max(...names.map((name) => name.length)))));
  return 22 * Math.ceil(names.length / across) + 16;
}

async function drawForPaper() {
  const drawings = JSON.parse(await get("drawings"));
  for (const figure of document.querySelectorAll("figure")) {
    const drawing = new Blob([drawings[figure.id.slice("figure-".length)]], { type: "image/svg+xml" });
    figure.querySelector(".static").src = URL.createObjectURL(drawing);
  }
}

drawForPaper();

const seen = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    seen.unobserve(target);
    show(target);
  }
}, { rootMargin: "300px" });

for (const figure of document.querySelectorAll("figure")) seen.observe(figure);
