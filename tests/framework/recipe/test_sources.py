from __future__ import annotations

from pathlib import Path

import pytest

from bfmkit.recipe import RecipeError
from bfmkit.recipe.sources import locate, shipped


def refusal(reference: str, beside: Path | None = None) -> str:
    with pytest.raises(RecipeError) as caught:
        locate(reference, beside)
    return str(caught.value)


def test_a_copy_does_not_take_the_name_of_the_shipped_recipe(here: Path) -> None:
    assert locate("opti_bfm") == locate("infer/opti_bfm") == shipped()["opti_bfm"]
    (here / "opti_bfm.yaml").write_text("extends: infer/opti_bfm\n")
    assert refusal("opti_bfm") == (
        "opti_bfm: there is the file opti_bfm.yaml, and a shipped recipe has this name; "
        "say ./opti_bfm or infer/opti_bfm"
    )
    for word in ("./opti_bfm", "opti_bfm.yaml"):
        assert locate(word).samefile(here / "opti_bfm.yaml")
    assert locate("infer/opti_bfm") == shipped()["opti_bfm"]
    assert "say ./opti_bfm or" in refusal("opti_bfm", here)
    # Shipped recipes mean each other.
    assert locate("opti_bfm", shipped()["opti_bfm"].parent) == shipped()["opti_bfm"]


def test_an_unknown_name_is_answered_with_the_likely_ones_alone(here: Path) -> None:
    assert refusal("opti_bmf").endswith('; did you mean "opti_bfm"?')
    named_so = [name for name in shipped() if "exorl" in name]
    assert refusal("exorl").endswith(f"; shipped: {', '.join(named_so)}")
    assert refusal("environment.task=walk").endswith("; bfmkit list recipe")
    assert all(len(refusal(word)) < 300 for word in ("opti_bmf", "exorl", "xyz", "_", "nowhere/x.yaml"))


def test_the_home_folder_of_nobody_is_a_file_that_is_not_there(here: Path) -> None:
    assert "there is no such file" in refusal("~nobody-has-this-name/x.yaml")
