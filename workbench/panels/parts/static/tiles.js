// A row of radio buttons that look like tiles: a thumbnail, a text, or both. The arrow keys choose among them.
function render({ model, el, signal }) {
  const group = uniqueId();
  const legend = make("legend");
  const row = make("div", { className: "workbench-tiles" });
  el.append(make("fieldset", { className: "workbench-field" }, [legend, row]));
  shield(el);
  follow(model, signal, ["label"], () => {
    legend.textContent = model.get("label");
  });
  follow(model, signal, ["names", "thumbnails"], () => {
    const held = row.contains(document.activeElement);
    const thumbnails = model.get("thumbnails");
    row.replaceChildren(
      ...model.get("names").map((name, index) => {
        const input = make("input", { type: "radio", name: group, value: String(index) });
        const parts = [input];
        if (thumbnails.length) parts.push(make("img", { src: thumbnails[index], alt: name, title: name }));
        else parts.push(make("span", { textContent: name }));
        return make("label", { className: thumbnails.length ? "workbench-tile" : "workbench-chip" }, parts);
      }),
    );
    choose();
    if (held) (row.querySelector(":checked") ?? row.querySelector("input"))?.focus();
  });
  function choose() {
    row.querySelectorAll("input").forEach((input, index) => {
      input.checked = index === model.get("value");
      input.disabled = model.get("disabled");
    });
  }
  follow(model, signal, ["value", "disabled"], choose);
  row.addEventListener("change", (event) => set(model, "value", Number(event.target.value)));
}

export default { render };
