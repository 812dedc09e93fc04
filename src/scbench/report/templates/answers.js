// The answer browser. What is open stands in the address (#cell=…&session=…&turn=…), so that a link opens a turn.

const COMMON = ["session", "turn", "outcome", "strict", "ref"];
const at = (id) => document.getElementById(id);

let cells;

// The place that the address names; null where it names another part of the page.
function placed() {
  const place = new URLSearchParams(location.hash.slice(1));
  return place.has("cell") ? { cell: place.get("cell"), session: place.get("session"), turn: Number(place.get("turn")) } : null;
}

function go(place) {
  location.hash = new URLSearchParams(place).toString();
}

async function answersOf(id) {
  const columns = JSON.parse(await get(id));
  const length = cells.find((cell) => cell.id === id).turns;
  return Array.from({ length }, (_, index) =>
    Object.fromEntries(Object.entries(columns).map(([name, values]) => [name, values[index]])));
}

function nameOf(cell) {
  return [cell.method, cell.task, cell.mode, cell.model, cell.setting].filter(Boolean).join(" · ");
}

function offer(select, choices, chosen) {
  select.replaceChildren(...choices.map(([value, text]) => make("option", { value, selected: String(value) === String(chosen) }, text)));
}

function offerCells(chosen) {
  const words = at("cell-filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const fit = cells.filter((cell) => {
    const text = `${nameOf(cell)} ${cell.id}`.toLowerCase();
    return cell.id === chosen || words.every((word) => text.includes(word));
  });
  offer(at("pick-cell"), fit.map((cell) => [cell.id, `${nameOf(cell)} (${cell.turns} turns)`]), chosen);
}

let latest = 0;

async function open() {
  const place = placed() ?? { cell: cells.find((cell) => cell.turns)?.id ?? cells[0].id, session: null, turn: 1 };
  const mine = ++latest;
  const problem = at("answer-problem");
  problem.hidden = true;
  try {
    const cell = cells.find(({ id }) => id === place.cell);
    if (!cell) throw new Error(`There is no cell ${place.cell} in this sweep.`);
    offerCells(cell.id);
    const turns = await answersOf(cell.id);
    const dense = cell.dense && cell.dense !== cell.id ? await answersOf(cell.dense) : [];
    const asked = JSON.parse(await get(cell.source));
    if (mine === latest) fill(cell, turns, dense, asked, place);
  } catch (error) {
    if (mine !== latest) return;
    at("answer").replaceChildren();
    problem.textContent = error.message;
    problem.hidden = false;
  }
}

function fill(cell, turns, dense, asked, place) {
  const peers = new Map(dense.map((turn) => [`${turn.turn} ${turn.session}`, turn]));
  const peer = (turn) => peers.get(`${turn.turn} ${turn.session}`);
  if (!turns.length) throw new Error("This cell has no answers: see Failures.");
  const current = turns.find(({ session, turn }) => session === (place.session ?? turns[0].session) && turn === place.turn);
  if (!current) throw new Error(`There is no turn ${place.turn} of session ${place.session} in this cell.`);
  const index = turns.indexOf(current);
  offer(at("pick-session"), [...new Set(turns.map(({ session }) => session))].map((name) => [name, name]), current.session);
  offer(at("pick-turn"), turns.filter(({ session }) => session === current.session).map(({ turn }) => [turn, turn]), current.turn);
  for (const [id, other] of [["previous", turns[index - 1]], ["next", turns[index + 1]]]) {
    at(id).disabled = !other;
    at(id).onclick = () => go({ cell: cell.id, session: other.session, turn: other.turn });
  }
  at("answer").replaceChildren(...shown(cell, current, peer(current), asked));
  list(cell, turns, peer);
}

function shown(cell, turn, dense, asked) {
  const session = asked.sessions[turn.session];
  const question = session?.questions[turn.turn - 1] ?? `not known: ${asked.note || "the sessions file has no such turn"}`;
  const sides = [side("Gold", turn.gold), side(cell.method, turn.prediction, turn)];
  if (dense) sides.push(side("dense", dense.prediction, dense));
  return [
    make("h3", {}, make("bdi", {}, nameOf(cell))),
    make("p", { className: "note" }, `session ${turn.session}, turn ${turn.turn}`, session ? `, context of ${session.tokens} tokens` : "", turn.subtask ? `, ${turn.subtask}` : ""),
    turn.detail ? make("p", { className: "notice" }, turn.detail) : "",
    turn.answer_cut ? make("p", { className: "notice" }, "The gold answer stood in what was cut to fit the window.") : "",
    side("Question", [question, ...(turn.options ?? []).map((option, index) => `${"ABCDEFGHIJKLMNOPQRSTUVWXYZ"[index]}. ${option}`)].join("\n")),
    make("div", { className: "sides" }, ...sides),
    held(cell, turn, dense),
  ];
}

function side(title, text, turn) {
  const marks = turn ? [mark("strict", turn.strict), mark("ref", turn.ref)] : [];
  if (turn && turn.outcome !== "ok") marks.push(make("span", { className: "mark other" }, turn.outcome));
  return make("section", { className: "side" },
    make("h4", {}, make("bdi", {}, title), ...marks),
    text ? make("pre", { dir: "auto", tabIndex: 0 }, text) : make("p", { className: "note" }, "(empty)"));
}

function mark(name, value) {
  const kind = value == null ? "other" : value >= 1 ? "good" : value > 0 ? "part" : "bad";
  return make("span", { className: `mark ${kind}` }, `${name} ${number(value, 2)}`);
}

function number(value, digits) {
  return value == null ? "n/a" : value.toFixed(digits);
}

const mebibytes = (value) => (value == null ? "n/a" : `${(value / 2 ** 20).toFixed(2)} MiB`);
const percent = (value) => (value == null ? "n/a" : `${(100 * value).toFixed(1)} %`);

// What the cache held, a line per fact, with dense beside.
const FACTS = [
  ["gold answer’s tokens still held", (turn) => percent(turn.gold_kept)],
  ["stored KV", ({ kv_bytes: kv }) => kv ? `${mebibytes(kv[0])}, ${percent(kv[0] / kv[2])} of dense` : "n/a"],
  ["touched per token", ({ kv_bytes: kv }) => kv ? mebibytes(kv[1]) : "n/a"],
  ["nominal", ({ kv_bytes: kv }) => kv ? mebibytes(kv[3]) : "n/a"],
  ["kept tokens per layer", (turn) => layers(turn.kept, (value) => String(value))],
  ["density of the prefill per layer", (turn) => layers(turn.density, (value) => `${(100 * value).toFixed(1)} %`)],
  ["context left by rewriting", (turn) => percent(turn.context_kept)],
  ["prompt seen when compressed", (turn) => turn.prompt_visible || "n/a"],
  ["kernels", (turn) => (turn.kernels ?? []).join(", ") || "n/a"],
  ["tokens of prompt, of answer", (turn) => `${turn.prompt_tokens ?? "n/a"}, ${turn.output_tokens ?? "n/a"} (${turn.stopped || "n/a"})`],
  ["log-likelihood of gold", ({ fidelity: found }) => found ? `${found[0].toFixed(2)} over ${found[1]} tokens` : "n/a"],
  ["KL from dense", ({ fidelity: found }) => found?.[2] == null ? "n/a" : `${found[2].toPrecision(3)} nats`],
  ["time", (turn) => Object.entries(turn.times ?? {}).map(([stage, [seconds, scope, width]]) =>
    `${stage} ${seconds.toFixed(3)} s (${scope}${scope === "batch" ? ` of ${width}` : ""})`).join(", ") || "n/a"],
  ["peak memory", (turn) => Object.entries(turn.peak_bytes ?? {}).map(([stage, peak]) => `${stage} ${mebibytes(peak)}`).join(", ") || "n/a"],
];

function held(cell, turn, dense) {
  const columns = dense ? [turn, dense] : [turn];
  const rows = FACTS.map(([name, fact]) => [name, columns.map(fact)]).filter(([, facts]) => facts.some((fact) => fact !== "n/a"));
  const head = ["", cell.method, ...(dense ? ["dense"] : [])];
  return make("section", {},
    make("h4", {}, "What the cache held"),
    make("div", { className: "scroll" }, make("table", { className: "held" },
      make("thead", {}, make("tr", {}, ...head.map((text) => make("th", { scope: "col" }, make("bdi", {}, text))))),
      make("tbody", {}, ...rows.map(([name, facts]) =>
        make("tr", {}, make("th", { scope: "row" }, name), ...facts.map((fact) => make("td", {}, fact))))))));
}

// One number where all layers agree, else a bar for each.
function layers(values, text) {
  if (!values?.length) return "n/a";
  const [least, most] = [Math.min(...values), Math.max(...values)];
  if (least === most) return `${text(most)} in each of ${values.length}`;
  const bars = values.map((value, layer) => {
    const bar = make("i", { title: `layer ${layer}: ${text(value)}` });
    bar.style.height = `${Math.max(4, (100 * value) / most)}%`;
    return bar;
  });
  const range = `${text(least)} to ${text(most)}`;
  const picture = make("span", { className: "layers" }, ...bars);
  picture.setAttribute("role", "img");
  picture.setAttribute("aria-label", `${values.length} layers, ${range}`);
  return make("span", {}, `${range} `, picture);
}

const scored = (...turns) => turns.every((turn) => typeof turn?.strict === "number"); // one that failed has no score
const WHICH = {
  all: () => true,
  wrong: (turn) => scored(turn) && turn.strict < 1,
  worse: (turn, dense) => scored(turn, dense) && turn.strict < dense.strict,
  better: (turn, dense) => scored(turn, dense) && turn.strict > dense.strict,
  other: (turn) => turn.outcome !== "ok",
};

function list(cell, turns, peer) {
  const draw = () => {
    if (!at("turn-list").open) return;
    const wanted = turns.filter((turn) => WHICH[at("which").value](turn, peer(turn)));
    const head = [...COMMON, "dense strict", "prediction"];
    const table = make("table", { className: "data" },
      make("thead", {}, make("tr", {}, ...head.map((text) => make("th", { scope: "col" }, text)))),
      make("tbody", {}, ...wanted.map((turn) => row(cell, turn, peer(turn)))));
    at("turns").replaceChildren(make("div", { className: "scroll" }, table));
    live(table);
  };
  at("turn-list").ontoggle = at("which").onchange = draw;
  draw();
}

function row(cell, turn, dense) {
  const link = make("a", { href: `#${new URLSearchParams({ cell: cell.id, session: turn.session, turn: turn.turn })}` }, turn.session);
  const texts = [turn.turn, turn.outcome, number(turn.strict, 2), number(turn.ref, 2), number(dense?.strict, 2)];
  return make("tr", {}, make("td", {}, link), ...texts.map((text) => make("td", {}, String(text))),
    make("td", { className: "start" }, make("bdi", {}, (turn.prediction ?? "").slice(0, 80))));
}

async function begin() {
  cells = JSON.parse(await get("index")).cells;
  at("picker").addEventListener("submit", (event) => event.preventDefault());
  at("cell-filter").addEventListener("input", () => offerCells(at("pick-cell").value));
  at("pick-cell").addEventListener("change", () => go({ cell: at("pick-cell").value, turn: 1 }));
  at("pick-session").addEventListener("change", () => go({ cell: at("pick-cell").value, session: at("pick-session").value, turn: 1 }));
  at("pick-turn").addEventListener("change", () =>
    go({ cell: at("pick-cell").value, session: at("pick-session").value, turn: at("pick-turn").value }));
  addEventListener("hashchange", () => {
    if (placed()) open();
  });
  await open();
  if (placed()) at("answers").scrollIntoView();
}

begin();
