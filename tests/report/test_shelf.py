import base64
import gzip
import json
import re

import pytest

from scbench.errors import ScbenchError
from scbench.report.shelf import Shelf, pack

DATA = {"prediction": ["</script>\u2028é" * 3]}


def unpacked(text):
    return json.loads(gzip.decompress(base64.b64decode(text)))


def test_packed_text_is_the_same_every_time_and_plain_ascii():
    assert pack("漢</script>") == pack("漢</script>")
    assert base64.b64decode(pack("x"))[4:8] == bytes(4)  # no time of day
    assert re.fullmatch(r"[A-Za-z0-9+/=]+", pack("漢</script>"))


def test_what_fits_is_in_the_page_and_the_rest_in_files_that_are_scripts(tmp_path):
    size = len(pack(json.dumps(DATA, ensure_ascii=False, separators=(",", ":"))))
    shelf = Shelf(tmp_path, room=2 * size)
    for name in ("a1", "a2", "a3"):
        shelf.put(name, DATA)
    assert list(shelf.page) == ["a1", "a2"] and shelf.files == ["a3"]
    assert unpacked(shelf.page["a1"]) == DATA
    script = (tmp_path / "report_answers" / "a3.js").read_text()
    found = re.fullmatch(r'scbenchTake\("a3","([A-Za-z0-9+/=]+)"\);\n', script)
    assert found and unpacked(found[1]) == DATA


def test_files_of_an_earlier_page_go(tmp_path):
    small = Shelf(tmp_path, room=0)
    small.put("a1", DATA)
    small.put("a2", DATA)
    again = Shelf(tmp_path, room=0)
    again.put("a2", DATA)
    again.sweep_out()
    assert [path.name for path in (tmp_path / "report_answers").iterdir()] == ["a2.js"]
    Shelf(tmp_path).sweep_out()
    assert not (tmp_path / "report_answers").exists()


@pytest.mark.parametrize("name", ["../x", "a/b", "", 'a"b', "a.js", "é"])
def test_a_name_that_is_no_word_is_refused(tmp_path, name):
    with pytest.raises(ScbenchError, match="changed by hand"):
        Shelf(tmp_path, room=0).put(name, DATA)
    assert not list(tmp_path.iterdir())
