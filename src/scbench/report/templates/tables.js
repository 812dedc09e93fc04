// Tables that sort by any column and show only the rows that hold the words of a filter.

const FEW_ROWS = 6; // what needs no filter
const NUMBER = /^[-+−]?\d+(\.\d+)?(e[-+]?\d+)?(?=$|[\s%*†(\[±])/;
const order = new Intl.Collator(undefined, { numeric: true });

function live(table) {
  const body = table.tBodies[0];
  for (const [index, header] of [...table.tHead.rows[0].cells].entries()) {
    const button = make("button", { type: "button", title: "sort" }, header.textContent);
    button.addEventListener("click", () => sort(table, index));
    header.replaceChildren(button);
  }
  if (body.rows.length < FEW_ROWS) return;
  const count = make("span", { className: "count" });
  const input = make("input", { type: "search", placeholder: "filter rows" });
  input.setAttribute("aria-label", "filter rows");
  input.addEventListener("input", () => {
    count.textContent = narrow(body, input.value);
  });
  table.parentElement.before(make("p", { className: "filter" }, input, count));
}

function sort(table, index) {
  const header = table.tHead.rows[0].cells[index];
  const falling = header.getAttribute("aria-sort") === "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", falling ? "descending" : "ascending");
  const rows = [...table.tBodies[0].rows].map((row) => ({ row, text: row.cells[index].textContent.trim() }));
  const there = rows.filter(({ text }) => text !== "n/a" && text !== "");
  const absent = rows.filter(({ text }) => text === "n/a" || text === "");
  const numeric = there.every(({ text }) => NUMBER.test(text));
  const compare = numeric
    ? (a, b) => parseFloat(a.text.replace("−", "-")) - parseFloat(b.text.replace("−", "-"))
    : (a, b) => order.compare(a.text, b.text);
  there.sort(falling ? (a, b) => compare(b, a) : compare);
  table.tBodies[0].append(...[...there, ...absent].map(({ row }) => row));
}

function narrow(body, text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const row of body.rows) {
    const line = [...row.cells].map((cell) => cell.textContent).join(" ").toLowerCase();
    row.hidden = !words.every((word) => line.includes(word));
    shown += row.hidden ? 0 : 1;
  }
  return words.length ? `${shown} of ${body.rows.length} rows` : "";
}

for (const table of document.querySelectorAll("table.data")) live(table);

// What is folded is printed too.
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("#tables details")) details.open = true;
});
