"""The page in a real browser. Screenshots stay in build/screenshots."""

import os
import shutil
from pathlib import Path
from urllib.parse import urlencode

import pytest

from scbench.record import Outcome
from scbench.report import html
from scbench.report.html import report_sweep
from scbench.report.shelf import Shelf
from scbench.results.scores import score_sweep
from sweep_builder import answers, cell, write_sweep
from wide_sweep import wide_sweep

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SHOTS = Path(__file__).parents[2] / "build" / "screenshots"
HOSTILE = (
    "<script>document.title = 'broken'</script><img src=x onerror=\"document.title = 'broken'\"> "
    '</script></td></table> ${7*7} {{ 7*7 }} \u202edrow\u202c \x00\x1b[31m =HYPERLINK("x") 漢字\n# title\n'
    + "A"
    * 1_000_000
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on the path (apt-get install chromium)"),
]


@pytest.fixture(scope="module")
def browser():
    # Chromium's own sandbox refuses to work for root, as which continuous integration runs.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser):
    """Opens a file in a page of some width; in the end no page may have said anything on its console."""
    said, pages = [], []

    def go(path, place="", width=1280):
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: said.append(request.url) if request.url.startswith("http") else None)
        page.goto(path.as_uri() + place)
        page.locator("#answer h3, #answer-problem:visible").first.wait_for()
        pages.append(page)
        return page

    yield go
    for page in pages:
        page.close()
    assert said == []


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return report_sweep(wide_sweep(tmp_path_factory.mktemp("wide")))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    cells = {"a1": cell(), "a2": cell("streaming_llm", budget=0.25), "a3": cell(model=HOSTILE[:80])}
    records = [
        answers("a1", "s0", [True, False]),
        answers("a2", "s0", [False, True], prediction=HOSTILE, gold=HOSTILE[:500], detail=HOSTILE[:200]),
        answers("a2", "s1", [False], outcome=Outcome.ERROR, prediction=HOSTILE, detail=HOSTILE[:200]),
    ]
    path = write_sweep(tmp_path_factory.mktemp("hostile"), cells, records, failed={"a3": HOSTILE[:200]})
    score_sweep(path)
    return report_sweep(path)


def place(cell_id, session, turn):
    return "#" + urlencode({"cell": cell_id, "session": session, "turn": turn})


def shot(page, name, **options):
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png", **options)


def column(table, index):
    return table.locator(f"tbody tr:visible td:nth-child({index})").all_inner_texts()


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_fits_its_window(visit, report, width):
    page = visit(report, width=width)
    shot(page, f"top_{width}")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.title() == "scbench: trial"


def test_tables_sort_and_filter(visit, report):
    page = visit(report)
    page.locator("#table-cells summary").click()
    table = page.locator("#table-cells table")
    names = table.locator("th").all_inner_texts()
    strict = names.index("strict") + 1
    values = [float(text) for text in column(table, strict)]
    header = table.locator("th button", has_text="strict").first
    header.click()
    assert [float(text) for text in column(table, strict)] == sorted(values)
    header.click()
    assert [float(text) for text in column(table, strict)] == sorted(values, reverse=True)
    assert table.locator("th[aria-sort=descending]").count() == 1
    page.locator("#table-cells input").fill("snapkv MULTI_turn 12.5%")
    methods = column(table, names.index("method") + 1)
    assert methods == ["snapkv (12.5%)"] * 2
    assert "2 of 24 rows" in page.locator("#table-cells").inner_text()
    shot(page, "table")


def test_a_number_is_sorted_as_one_and_what_is_absent_comes_last(visit, report):
    page = visit(report)
    order = page.evaluate(
        """() => {
            const row = (text) => `<tr><td>${text}</td></tr>`;
            const rows = ["9", "n/a", "10.5 [1, 20]", "-3", "100"].map(row).join("");
            const place = document.createElement("div");
            const head = "<thead><tr><th>x</th></tr></thead>";
            place.innerHTML = `<div><table class="data">${head}<tbody>${rows}</tbody></table></div>`;
            document.body.append(place);
            const table = place.querySelector("table");
            live(table);
            table.querySelector("button").click();
            return [...table.tBodies[0].rows].map((row) => row.textContent);
        }"""
    )
    assert order == ["-3", "9", "10.5 [1, 20]", "100", "n/a"]


@pytest.mark.parametrize("width", [1280, 390])
def test_figures_are_drawn_when_they_come_into_view(visit, report, width):
    page = visit(report, width=width)
    names = page.locator("figure").evaluate_all("(figures) => figures.map((figure) => figure.id)")
    assert len(names) == 10
    for name in names:
        figure = page.locator(f"#{name}")
        figure.scroll_into_view_if_needed()
        figure.locator(".main-svg").first.wait_for()
        shot(figure, f"{name}_{width}")
        assert figure.locator(".static").is_hidden()
        assert figure.locator(".trace, .heatmaplayer image").count() > 0
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_mark_says_what_it_is_and_print_has_the_drawings_for_paper(visit, report):
    page = visit(report)
    figure = page.locator("#figure-score_memory")
    figure.scroll_into_view_if_needed()
    figure.locator(".main-svg").first.wait_for()
    figure.locator(".scatterlayer .trace .point").first.hover(force=True)
    figure.locator(".hoverlayer .hovertext").first.wait_for()
    assert "stored KV, MiB: 8" in figure.locator(".hovertext").first.text_content()
    shot(figure, "hover")
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert figure.locator(".static").is_visible() and figure.locator(".interactive").is_hidden()
    sizes = page.locator(".static").evaluate_all("(images) => images.map((image) => image.naturalWidth)")
    assert len(sizes) == 10 and min(sizes) > 100
    assert page.locator("#table-cells table").is_visible()
    shot(page, "print")


def test_a_link_opens_a_turn_with_all_that_belongs_to_it(visit, report):
    page = visit(report, place("c5", "s1", 2))
    answer = page.locator("#answer")
    shot(page, "answer")
    assert answer.locator("h3").inner_text() == "snapkv (50%) · Retr.KV (gen) length=512 · multi_turn · tiny"
    assert "session s1, turn 2, context of 512 tokens" in answer.inner_text()
    assert answer.locator("pre").first.inner_text() == "question 2 of s1?"
    titles = answer.locator("h4 bdi").all_inner_texts()
    assert titles == ["Question", "Gold", "snapkv (50%)", "dense"]
    marks = answer.locator(".mark").all_inner_texts()
    assert [mark.split()[0] for mark in marks] == ["strict", "ref"] * 2
    held = dict(
        zip(answer.locator(".held tbody th").all_inner_texts(), answer.locator(".held tbody tr").all(), strict=True)
    )
    assert held["stored KV"].locator("td").all_inner_texts() == [
        "4.40 MiB, 55.0 % of dense",
        "8.00 MiB, 100.0 % of dense",
    ]
    assert held["kept tokens per layer"].locator("td").first.inner_text().startswith("140 to 422")
    assert held["kept tokens per layer"].locator("i").count() == 4
    assert held["prompt seen when compressed"].locator("td").first.inner_text() == "context+q1"


def test_the_browser_of_answers_goes_where_it_is_told(visit, report):
    page = visit(report)
    page.locator("#cell-filter").fill("snapkv 1024 multi_request 50%")
    assert page.locator("#pick-cell option").count() == 2  # the one that is open, and the one that fits
    page.select_option("#pick-cell", "c23")
    page.locator("#answer h3", has_text="snapkv (50%) · Retr.KV (gen) length=1024 · multi_request").wait_for()
    page.select_option("#pick-session", "s1")
    page.locator("#answer .note", has_text="session s1, turn 1").wait_for()
    page.locator("#next").click()
    page.locator("#answer .note", has_text="session s1, turn 2").wait_for()
    assert page.evaluate("location.hash") == place("c23", "s1", 2)
    page.go_back()
    page.locator("#answer .note", has_text="session s1, turn 1").wait_for()
    page.locator("#previous").click()
    page.locator("#answer .note", has_text="session s0, turn 3").wait_for()
    page.locator("#turn-list summary").click()
    rows = page.locator("#turns tbody tr")
    rows.nth(5).wait_for()  # a page hears of what was opened a little later
    assert rows.count() == 6
    page.select_option("#which", "wrong")
    assert all(float(text) < 1 for text in column(page.locator("#turns table"), 4))
    page.select_option("#which", "all")
    rows.last.locator("a").click()
    page.locator("#answer .note", has_text="session s1, turn 3").wait_for()


def test_a_link_to_nothing_says_so_and_the_next_one_opens(visit, report):
    page = visit(report, place("zz", "s0", 1))
    problem = page.locator("#answer-problem")
    assert problem.inner_text() == "There is no cell zz in this sweep."
    for session, turn in (("s9", 1), ("s0", 9)):
        page.evaluate("(place) => { location.hash = place; }", place("c0", session, turn))
        page.get_by_text(f"There is no turn {turn} of session {session} in this cell.").wait_for()
    page.evaluate("(place) => { location.hash = place; }", place("c0", "s0", 3))
    page.locator("#answer .note", has_text="session s0, turn 3").wait_for()
    assert problem.is_hidden()


def test_hostile_texts_are_shown_and_break_nothing(visit, hostile):
    page = visit(hostile, place("a2", "s0", 1))
    shown = page.locator("#answer .side", has_text="streaming_llm").locator("pre").inner_text()
    assert shown.startswith("<script>document.title = 'broken'</script><img src=x onerror=")
    assert '\\u202edrow\\u202c \\x00\\x1b[31m =HYPERLINK("x") 漢字\n# title' in shown
    assert shown.endswith("more characters)") and len(shown) < 30_000
    shot(page, "hostile")
    page.locator("#turn-list summary").click()
    page.locator("#turns tbody tr").first.wait_for()
    for figure in page.locator("figure").all():
        figure.scroll_into_view_if_needed()
        figure.locator(".main-svg").first.wait_for()
    shot(page, "hostile_page", full_page=True)
    assert page.title() == "scbench: trial"
    assert page.locator("img[src=x], main script").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    assert page.locator("#failures tbody tr").count() == 3


def test_answers_that_are_too_large_come_from_beside_the_page(visit, tmp_path, monkeypatch):
    cells = {"a1": cell(), "a2": cell("streaming_llm", budget=0.25)}
    records = [answers(name, "s0", [True, False]) for name in cells]
    path = write_sweep(tmp_path, cells, records, sessions=["s0"])
    score_sweep(path)
    monkeypatch.setattr(html, "Shelf", lambda folder: Shelf(folder, room=0))
    written = report_sweep(path)
    page = visit(written, place("a2", "s0", 2))
    assert "The answers of 0 of 2 cells are in this file." in page.locator("#beside").inner_text()
    assert page.locator("#answer pre").all_inner_texts() == ["question 2 of s0?", "the-value", "another", "another"]
    for figure in page.locator("figure").all():
        figure.scroll_into_view_if_needed()
        figure.locator(".main-svg").first.wait_for()


def test_a_script_that_is_not_the_pages_own_does_not_run(browser, report, tmp_path):
    path = tmp_path / "changed.html"
    text = report.read_text(encoding="utf-8")
    path.write_text(text.replace("</main>", "<script>document.title = 'broken'</script></main>"), encoding="utf-8")
    page = browser.new_page()
    page.goto(path.as_uri())
    page.locator("#answer h3").wait_for()
    assert page.title() == "scbench: trial"
    page.close()
