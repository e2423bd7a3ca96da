// A picture that holds the same image once or more. The mouse points at a window of it; once focused, so do the
// arrow keys. The window is marked on every copy of the image.
function render({ model, el, signal }) {
  const image = make("img", { className: "workbench-picture" });
  const marks = make("div", { className: "workbench-marks" });
  const said = make("p", { id: uniqueId(), className: "workbench-said" });
  const stage = make("div", { className: "workbench-windows", tabIndex: 0 }, [image, marks]);
  stage.setAttribute("role", "application");
  stage.setAttribute("aria-describedby", said.id);
  said.setAttribute("aria-live", "polite");
  el.append(stage, said);
  shield(el);

  follow(model, signal, ["source", "alt", "width", "label"], () => {
    image.alt = model.get("alt");
    image.width = model.get("width");
    stage.hidden = said.hidden = !model.get("source");
    image.hidden = !model.get("source");
    if (model.get("source")) image.src = model.get("source");
    stage.setAttribute("aria-label", model.get("label"));
  });
  follow(model, signal, ["busy"], () => el.setAttribute("aria-busy", String(model.get("busy"))));
  follow(model, signal, ["said", "hint"], () => {
    said.textContent = model.get("said") || model.get("hint");
  });
  const percent = (share) => `${100 * share}%`;
  follow(model, signal, ["areas", "rows", "columns", "patch", "cursor"], () => {
    const [columns, cursor] = [model.get("columns"), model.get("cursor")];
    const known = cursor >= 0 && cursor < columns.length * model.get("rows").length;
    marks.replaceChildren(
      ...(known ? model.get("areas") : []).map(([left, top, width, height]) => {
        const [tall, wide] = model.get("patch");
        const mark = make("div", { className: "workbench-mark" });
        mark.style.left = percent(left + width * columns[cursor % columns.length]);
        mark.style.top = percent(top + height * model.get("rows")[Math.floor(cursor / columns.length)]);
        mark.style.width = percent(width * wide);
        mark.style.height = percent(height * tall);
        return mark;
      }),
    );
  });

  function point(cursor) {
    if (cursor !== model.get("cursor")) set(model, "cursor", cursor);
  }
  // The window whose centre lies nearest, along one axis.
  function nearest(starts, length, place) {
    const away = starts.map((start) => Math.abs(start + length / 2 - place));
    return away.indexOf(Math.min(...away));
  }
  let latest = null;
  function look() {
    const box = image.getBoundingClientRect();
    const [x, y] = [(latest.clientX - box.left) / box.width, (latest.clientY - box.top) / box.height];
    latest = null;
    for (const [left, top, width, height] of model.get("areas")) {
      const [across, down] = [(x - left) / width, (y - top) / height];
      if (across < 0 || across > 1 || down < 0 || down > 1 || !model.get("rows").length) continue;
      const [tall, wide] = model.get("patch");
      const row = nearest(model.get("rows"), tall, down);
      point(row * model.get("columns").length + nearest(model.get("columns"), wide, across));
      return;
    }
  }
  stage.addEventListener("pointermove", (event) => {
    if (!latest) requestAnimationFrame(look);
    latest = event;
  });
  stage.addEventListener("keydown", (event) => {
    const [rows, columns] = [model.get("rows").length, model.get("columns").length];
    const steps = {
      ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0],
      Home: [0, -columns], End: [0, columns], PageUp: [-rows, 0], PageDown: [rows, 0],
    };
    if (event.key === "Escape") point(-1);
    if (!(event.key in steps) || !rows || !columns) return;
    event.preventDefault();
    const cursor = model.get("cursor");
    if (cursor < 0) return point(Math.floor(rows / 2) * columns + Math.floor(columns / 2));
    const within = (value, count) => Math.min(count - 1, Math.max(0, value));
    const row = within(Math.floor(cursor / columns) + steps[event.key][0], rows);
    point(row * columns + within((cursor % columns) + steps[event.key][1], columns));
  });
}

export default { render };
