"""A notebook in the browser, driven as a person drives it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Browser, ConsoleMessage, Locator, Page
    from servers import Server

MILLISECONDS_TO_RENDER = 90_000
MILLISECONDS_TO_REACT = 30_000
GRAVE = ("serious", "critical")


@dataclass
class Screen:
    """One page with panels on it.

    Attributes:
        page: the page.
        errors: what the browser's console has called an error so far.
    """

    page: Page
    errors: list[str] = field(default_factory=list)

    @classmethod
    def blank(cls, browser: Browser, *, width: int = 1360, height: int = 1000, scale: float = 1) -> Screen:
        """A page that remembers its errors and may use the clipboard."""
        context = browser.new_context(
            viewport={"width": width, "height": height},
            device_scale_factor=scale,
            permissions=["clipboard-read", "clipboard-write"],
        )
        # Nothing outside this machine is asked for; a badge in a notebook becomes an empty picture.
        context.route(
            lambda url: not url.startswith(("http://127.0.0.1:", "blob:", "data:")),
            lambda route: route.fulfill(content_type="image/svg+xml", body='<svg xmlns="http://www.w3.org/2000/svg"/>'),
        )
        screen = cls(context.new_page())
        screen.page.on("console", screen._listen)
        screen.page.on("pageerror", lambda error: screen.errors.append(str(error)))
        return screen

    def open_notebook(self, server: Server, name: str, *, mode: str = "doc") -> Screen:
        """Open a notebook in JupyterLab (``"doc"``: it alone; ``"lab"``: with everything around it), not run yet."""
        self.page.goto(f"{server.url}/{mode}/tree/{name}?token={server.token}")
        self.page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=MILLISECONDS_TO_RENDER)
        # Before the kernel has answered, "run all cells" would do nothing.
        self.page.wait_for_function(
            """() => {
                const session = window.jupyterapp.shell.currentWidget?.sessionContext;
                const kernel = session?.session?.kernel;
                return session?.isReady && kernel?.connectionStatus === 'connected' && kernel.status === 'idle';
            }""",
            timeout=MILLISECONDS_TO_RENDER,
        )
        return self

    def run_all(self) -> Screen:
        """Run all cells."""
        self.page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells') }")
        return self

    def close(self) -> None:
        self.page.context.close()

    def _listen(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(f"{message.text} ({message.location.get('url', '')})")

    def panel(self, number: int = 0) -> Locator:
        """A panel, once it shows a picture and is at rest."""
        panel = self.page.locator(".workbench-panel").nth(number)
        try:
            panel.wait_for(timeout=MILLISECONDS_TO_RENDER)
        except PlaywrightTimeoutError as error:
            said = self.page.inner_text("body")[-3000:]
            raise AssertionError(f"There is no panel. The page says:\n{said}") from error
        panel.scroll_into_view_if_needed()
        picture(panel).and_(self.page.locator("[src^='data:image/png']")).wait_for(timeout=MILLISECONDS_TO_RENDER)
        rest(panel)
        return panel

    def code(self, source: str) -> None:
        """Run code in the kernel of the notebook, as a cell at its end would."""
        self.page.evaluate(
            """async (source) => {
                const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
                const reply = await kernel.requestExecute({ code: source }).done;
                if (reply.content.status !== 'ok') throw new Error(reply.content.evalue);
            }""",
            source,
        )

    def value(self, expression: str) -> str:
        """What an expression is in the kernel of the notebook, as text."""
        found: str = self.page.evaluate(
            """async (code) => {
                const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
                const reply = await kernel.requestExecute({ code: '', user_expressions: { value: code } }).done;
                return reply.content.user_expressions.value.data['text/plain'];
            }""",
            f"str({expression})",
        )
        return found[1:-1]

    def cells(self) -> tuple[int, int]:
        """How many cells the notebook has, and which of them is active."""
        found: list[int] = self.page.evaluate(
            """() => {
                const notebook = window.jupyterapp.shell.currentWidget.content;
                return [notebook.widgets.length, notebook.activeCellIndex];
            }"""
        )
        return found[0], found[1]


def picture(panel: Locator) -> Locator:
    """The picture of a panel; the first, where it has more."""
    return panel.locator("img.workbench-picture").first


def rest(panel: Locator) -> None:
    """Wait until a panel has nothing more to do."""
    panel.page.wait_for_function(
        "panel => !panel.querySelector('[aria-busy=\"true\"]')",
        arg=panel.element_handle(),
        timeout=MILLISECONDS_TO_REACT,
    )


def changes(panel: Locator, action: Callable[[], Any], *, until: str = "") -> str:
    """Do something and wait until the picture is another, which says ``until``; its alternative text."""
    before = picture(panel).get_attribute("src")
    action()
    panel.page.wait_for_function(
        "([image, before, until]) => !image.hidden && image.src !== before && image.alt.includes(until)",
        arg=[picture(panel).element_handle(), before, until],
        timeout=MILLISECONDS_TO_REACT,
    )
    rest(panel)
    return str(picture(panel).get_attribute("alt"))


def violations(page: Page, selector: str = ".workbench-panel") -> list[str]:
    """What axe finds serious or critical inside the elements of a selector."""
    found = Axe().run(page, context=selector)
    return [
        f"{item['id']}: {item['help']} ({node['html'][:200]}): {node.get('failureSummary', '')}"
        for item in found.response["violations"]
        if item["impact"] in GRAVE
        for node in item["nodes"]
    ]
