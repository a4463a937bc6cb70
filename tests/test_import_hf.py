"""Models of Hugging Face: as published, as in the library, what they are called, the document."""

import re
from pathlib import Path

import pytest
from msgspec.structs import replace

import tsdl
from tests.hugging_face import SAMPLES, imported, planned, sample
from tsdl.imports.huggingface.architectures import KNOWN
from tsdl.plan import Plan, Workers

FOLDERS = sorted(folder for folder in SAMPLES.iterdir() if folder.is_dir())
# Parameters in billions, of the text part. Source: model cards, papers and sizes of checkpoints; of
# Falcon and Gemma with the embedding counted once.
PUBLISHED = {
    "llama": 8.03,
    "mistral_window": 7.24,
    "mistral_in_wrapper": 23.57,
    "qwen2": 7.61,
    "qwen3": 8.19,
    "gemma2": 9.24,
    "gemma3": 3.88,
    "phi3": 3.82,
    "opt": 12.85,
    "gpt2": 0.124,
    "gpt_neox": 20.6,
    "falcon_7b": 6.92,
    "falcon_40b": 41.3,
    "mixtral": 46.7,
    "qwen3_moe": 30.5,
    "gpt_oss": 20.91,
    "llama4": 107.77,
    "llama4_maverick": 400.71,
    "deepseek_v2_lite": 15.7,
    "deepseek_v3": 671,
    "kimi_k2": 1026.5,
    "phi4": 14.66,
    "glm4_moe_air": 106.85,
    "qwen3_next": 79.67,
    "qwen3_5": 26.9,
    "qwen3_5_moe": 34.66,
    "nemotron_h": 56.3,
    "nemotron3_nano": 31.6,
    "nemotron3_ultra": 550,
    "deepseek_v3_2": 671.9,
    "glm5": 744,
    "minimax_m2": 229,
    "glm5_2": 743.4,
}


def unnamed(plan: Plan) -> list[Workers]:
    """Return the workers of a plan, whatever the model that they serve is called."""
    return [replace(kind, model=replace(kind.model, name="")) for kind in plan.workers]


# -- what is published -------------------------------------------------------------------------


@pytest.mark.parametrize("case", PUBLISHED)
def test_parameters_are_those_published(case: str) -> None:
    text = (SAMPLES / f"{case}.tsim").read_text("utf-8")
    model = text.split("\nmodel ")[1].split()[0]
    assert planned(text, model).models[0].parameters / 1e9 == pytest.approx(
        PUBLISHED[case], rel=0.005
    )


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda f: f.name)
def test_the_file_says_what_it_has(folder: Path) -> None:
    """Its comments have the source, and the number of parameters of its plan."""
    text = folder.with_suffix(".tsim").read_text("utf-8")
    (file,) = folder.iterdir()
    assert f"Source: {file.name}" in text
    model = text.split("\nmodel ")[1].split()[0]
    count = planned(text, model).models[0].parameters
    shown = f"{count / 1e9:#.4g} B" if count >= 1e9 else f"{count / 1e6:#.4g} M"
    assert f"# {shown.replace('. ', ' ')} parameters" in text


# -- those of the library ----------------------------------------------------------------------


def test_llama_is_the_one_of_the_library() -> None:
    text, found = imported(sample("llama"))
    assert not found
    own, library = planned(text, "llama_hf"), planned("", "llama3_1_8b")
    assert unnamed(own) == unnamed(library)
    assert (own.models[0].parameters, own.models[0].context) == (
        library.models[0].parameters,
        131_072,
    )


def test_llama_written_out_is_the_one_of_the_library() -> None:
    """A base that differs by one layer is written out, and is what the library would be."""
    text, _ = imported(sample("llama") | {"num_hidden_layers": 31})
    assert " from llama {" in text
    library = "model less from llama3_1_8b { layers = 31 }"
    assert unnamed(planned(text, "llama_hf")) == unnamed(planned(library, "less"))


@pytest.mark.parametrize(
    ("case", "model"),
    [
        ("mixtral", "mixtral_8x7b"), ("gpt_oss", "gpt_oss_20b"), ("deepseek_v3", "deepseek_v3"),
        ("kimi_k2", "kimi_k2"), ("glm4_moe", "glm4_5"), ("glm4_moe_air", "glm4_5_air"),
        ("llama4_maverick", "llama4_maverick"),
    ],
)  # fmt: skip
def test_experts_are_those_of_the_library(case: str, model: str) -> None:
    text = (SAMPLES / f"{case}.tsim").read_text("utf-8")
    name = text.split("\nmodel ")[1].split()[0]
    assert unnamed(planned(text, name)) == unnamed(planned("", model))


# -- their names -------------------------------------------------------------------------------


def test_a_name_of_the_library_is_left_to_it() -> None:
    text, _ = imported(sample("opt"), "opt-13b.json")
    assert "model opt_13b_hf from opt_13b {}" in text


@pytest.mark.parametrize(
    ("path", "own", "name"),
    [
        ("Tiny.json", "", "tiny"),
        ("models--a--Big-7B/snapshots/0ab/config.json", "", "big_7b"),
        ("config.json", "me/Mine-1.5", "mine_1_5"),
        ("weights/Folder/config.json", "", "folder"),
        ("config.json", "", "llama_hf"),
    ],
)
def test_what_a_model_is_called(path: str, own: str, name: str) -> None:
    config = sample("llama") | {"vocab_size": 1000, "_name_or_path": own}
    assert f"\nmodel {name} from" in imported(config, path)[0]


# -- their document ----------------------------------------------------------------------------

DOCUMENT = SAMPLES.parents[2] / "docs" / "huggingface.md"
ROW = re.compile(r"^\| `(.+?)(?:`[^|]*)? \| `(.+?)` \|.*\|$", re.MULTILINE)


def test_the_document_has_every_architecture_and_key() -> None:
    text = DOCUMENT.read_text("utf-8")
    for name, family in KNOWN.items():
        (row,) = (line for line in text.splitlines() if f"`{name}`" in line)
        assert f"`{family.graph}`" in row
        for keys in family.keys.values():
            for key in keys:
                assert f"`{key}`" in text, key


def test_forms_of_the_document_stand_in_a_model() -> None:
    forms = [form for _, form in ROW.findall(DOCUMENT.read_text("utf-8")) if "=" in form]
    assert len(forms) > 20
    for form in forms:
        assert not tsdl.check(f"model own from llama3_1_8b {{ {form} }}"), form
