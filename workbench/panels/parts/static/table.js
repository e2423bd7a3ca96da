// A table of numbers with their intervals. Headers sort; a cell is chosen by click, Enter or Space; arrow keys walk.
function render({ model, el, signal }) {
  const table = make("table", { role: "grid" });
  const said = make("p", { className: "workbench-said" });
  said.setAttribute("aria-live", "polite");
  const frame = make("div", { className: "workbench-table" }, [table]);
  el.append(frame, said);
  shield(el);
  let at = [1, 1]; // the cell that the tab key leads to: row 0 holds the headers, column 0 the names

  const places = () => [...table.rows].map((row) => [...row.cells]);
  const handle = (cell) => cell.querySelector("button") ?? cell;
  // names are calls without a space, such as concept_vectors(draws=2): lines may end after these signs, not within words
  const broken = (text) => text.split(/(?<=[_(=,])/).flatMap((part) => [part, make("wbr")]).slice(0, -1);

  function move(row, column, focus = true) {
    const grid = places();
    at = [Math.max(0, Math.min(row, grid.length - 1)), Math.max(0, Math.min(column, grid[0].length - 1))];
    grid.flat().forEach((cell) => (handle(cell).tabIndex = -1));
    const found = handle(grid[at[0]][at[1]]);
    found.tabIndex = 0;
    if (focus) found.focus();
  }

  function header(text, column) {
    const sorted = model.get("sorted") === column;
    const mark = sorted ? (model.get("descending") ? " \u25bc" : " \u25b2") : "";
    const button = make("button", { type: "button" }, [make("span", {}, broken(text)), make("span", { textContent: mark })]);
    button.lastChild.setAttribute("aria-hidden", "true");
    button.title = (model.get("hints")[column + 1] ?? "") + " Click to sort.";
    button.addEventListener("click", () => model.send({ sort: column }));
    const cell = make("th", { scope: "col" }, [button]);
    cell.setAttribute("aria-sort", sorted ? (model.get("descending") ? "descending" : "ascending") : "none");
    return cell;
  }

  function bar(entry) {
    const track = make("span", { className: "workbench-track" });
    track.setAttribute("aria-hidden", "true");
    const put = (name, left, width = null) => {
      if (left === null) return;
      const mark = make("span", { className: name });
      mark.style.left = `${100 * left}%`;
      if (width !== null) mark.style.width = `${100 * width}%`;
      track.append(mark);
    };
    if (entry.low !== null) put("workbench-interval", entry.low, Math.max(entry.high - entry.low, 0.01));
    put("workbench-chance", entry.chance);
    put("workbench-dot", entry.value);
    return track;
  }

  function body(entry, row, column) {
    const cell = make("td", { className: entry.best ? "workbench-best" : "" }, [make("span", { textContent: entry.text })]);
    if (entry.value !== null) cell.append(bar(entry));
    const [wantedRow, wantedColumn] = model.get("selected");
    cell.setAttribute("aria-label", entry.said);
    cell.setAttribute("aria-selected", String(row === wantedRow && column === wantedColumn));
    cell.title = entry.said;
    cell.addEventListener("click", () => choose(row, column));
    return cell;
  }

  function choose(row, column) {
    if (!model.get("disabled")) set(model, "selected", [row, column]);
  }

  function draw() {
    const held = table.contains(document.activeElement);
    const head = make("tr", {}, [header(model.get("corner"), -1), ...model.get("columns").map(header)]);
    const lines = model.get("order").map((row) => {
      const name = make("th", { scope: "row" }, broken(model.get("rows")[row]));
      const line = make("tr", {}, [name, ...model.get("cells")[row].map((entry, column) => body(entry, row, column))]);
      line.dataset.row = String(row);
      return line;
    });
    table.replaceChildren(make("caption", { textContent: model.get("label") }), make("thead", {}, [head]), make("tbody", {}, lines));
    move(at[0], at[1], held);
  }

  follow(model, signal, ["rows", "columns", "hints", "cells", "order", "sorted", "descending", "selected", "label"], draw);
  follow(model, signal, ["hint"], () => (said.textContent = model.get("hint")));
  table.addEventListener("focusin", (event) => {
    const cell = event.target.closest("td, th");
    if (cell) move(cell.parentElement.rowIndex, cell.cellIndex, false);
  });
  table.addEventListener("mousedown", (event) => {
    const cell = event.target.closest("td");
    if (cell) move(cell.parentElement.rowIndex, cell.cellIndex);
  });
  table.addEventListener("keydown", (event) => {
    const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const far = 1e6;
    const jumps = { Home: [at[0], 0], End: [at[0], far], PageUp: [0, at[1]], PageDown: [far, at[1]] };
    if (steps[event.key]) move(at[0] + steps[event.key][0], at[1] + steps[event.key][1]);
    else if (jumps[event.key]) move(...jumps[event.key]);
    else if ((event.key === "Enter" || event.key === " ") && event.target.tagName === "TD") {
      choose(Number(event.target.parentElement.dataset.row), at[1] - 1);
    } else return;
    event.preventDefault();
  });
}

export default { render };
