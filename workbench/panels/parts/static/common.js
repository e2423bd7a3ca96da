// Shared by all controls. Each renders one labelled element and keeps its plain keys to itself:
// a key that reached the notebook would move the cell selection, or delete a cell.
let made = 0;

function uniqueId() {
  made += 1;
  return `workbench-${Math.random().toString(36).slice(2)}-${made}`;
}

function shield(element) {
  element.setAttribute("data-lm-suppress-shortcuts", "true");
  element.addEventListener("keydown", (event) => {
    if (!event.ctrlKey && !event.metaKey && !event.altKey) event.stopPropagation();
  });
}

function make(tag, properties = {}, children = []) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element && name !== "list") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

// Calls `update` now and whenever one of the traits changes, until the view goes away.
function follow(model, signal, names, update) {
  update();
  const events = names.map((name) => `change:${name}`);
  events.forEach((event) => model.on(event, update));
  signal.addEventListener("abort", () => events.forEach((event) => model.off(event, update)));
}

function set(model, name, value) {
  model.set(name, value);
  model.save_changes();
}

// A label above an input, with an explanation that is read out after the name.
function labelled(model, signal, input, extra = []) {
  input.id = uniqueId();
  const label = make("label", { htmlFor: input.id });
  const hint = make("div", { id: uniqueId(), className: "workbench-hint" });
  follow(model, signal, ["label", "hint", "disabled"], () => {
    label.textContent = model.get("label");
    hint.textContent = model.get("hint");
    hint.hidden = !model.get("hint");
    input.disabled = model.get("disabled");
    if (model.get("hint")) input.setAttribute("aria-describedby", hint.id);
    else input.removeAttribute("aria-describedby");
  });
  const head = make("div", { className: "workbench-head" }, [label, ...extra]);
  return make("div", { className: "workbench-field" }, [head, input, hint]);
}
