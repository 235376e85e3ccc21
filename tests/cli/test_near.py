"""What is misspelt, called otherwise elsewhere, or lacking; completion by the shell."""

from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result
from snnr.cli import COMMANDS, main, words
from snnr.cli.common import _ELSEWHERE

import snnr
from snnr.errors import suggestion

Run = Callable[..., Result]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("trian", "Did you mean train?"),
        ("quantize", "'quantize'. Here export --to c --quantize int8 does."),
        ("serve", "Here this version has no server"),
        ("data lst", "Did you mean 'list'?"),
        ("train mnist --targt-connectivity 1", "Did you mean '--target-connectivity'?"),
        ("train mnist --optimizer adam", "Here: --method says how it is pruned"),
        ("train mnist --amp", "Here: this version computes in float32"),
        ("train mnist --method gradr", "dense (did you mean grad-r?)"),
        ("train mnist --method Lottery", "dense (did you mean imp?)"),
        ("train mnist --method magic", "magnitude, imp, dense\n"),
        ("train mnist --net csn", "unknown network 'csn' (did you mean csnn?)"),
        ("train mnist --net MNIST-FC", "'MNIST-FC' (did you mean mnist_fc?)"),
        ("train mnist --net resnet18", "this version has chains of layers, without shortcuts"),
        ("train mnist --net csnn:chanels=3", "no option of csnn (did you mean channels?)"),
        ("train mnist --net fc8-batchnorm-lif", "'batchnorm' is no layer (did you mean bn?)"),
        ("train mnist --net fc8-lf-fc9-lif", "'lf' is no layer (did you mean lif?)"),
        ("train mnist --net fc8-lif(surrogat=atan)", "(did you mean surrogate?); expected each"),
        ("train mnist --net fc8-lif(surrogate=atn)", "gaussian (did you mean atan?)"),
        ("train mnist --schedule cosin", "(did you mean cosine?)"),
        ("train mnist --schedule cosine:flor=0.1", "of cosine (did you mean floor?); expected"),
        ("train mnist --loss crossentropy", "mse, cross-entropy (did you mean cross-entropy?)"),
        ("train mnist --device gpu", "auto, cpu, cuda (did you mean cuda?)"),
        ("train mnist --recipe papr", "paper (did you mean paper?)"),
        ("train mnist --distribution unifrm", "global (did you mean uniform?)"),
        ("eval x --engine spars", "dense, sparse (did you mean sparse?)"),
        ("export x --to C", "c, npz, nir (did you mean c?)"),
        ("export x --to onnx", "c, npz, nir\n"),
        ("plot . --figure tradeof", "confusion (did you mean tradeoff?)"),
        ("plot . --format jpg", "png, pdf, svg (did you mean png?)"),
        ("bench --net csn", "(did you mean csnn?)"),
        ("search mnist --at 0.1 --method rigle", "(did you mean rigl?)"),
        ("sweep mnist --method dens --method set", "(did you mean dense?)"),
    ],
)
def test_near_misses(run: Run, words: str, told: str) -> None:
    result = run(*words.split(), code=2)
    assert told in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("cifar-10", "(did you mean cifar10?)"),
        ("FashionMNIST", "(did you mean fashion-mnist?)"),
        ("N-MNIST", "this version fetches no event recordings"),
        ("imagenet", "unknown data set 'imagenet': use mnist"),
    ],
)
def test_data_sets(run: Run, name: str, told: str) -> None:
    assert told in run("data", "fetch", name, code=1).stderr


def test_python_suggests_too() -> None:
    with pytest.raises(snnr.ConfigError, match=r"did you mean sigmoid\?"):
        snnr.surrogate.get("sigmod")
    with pytest.raises(snnr.ConfigError, match=r"did you mean grad-r\?"):
        snnr.training.run_settings("mnist", method="grad_r")
    with pytest.raises(snnr.ConfigError, match=r"piror means .* \(did you mean prior\?\)"):
        snnr.training.run_settings("mnist", piror=1)
    # that exists, and belongs to another method
    with pytest.raises(snnr.ConfigError, match="'grad-r'; leave it out"):
        snnr.training.run_settings("mnist", l1=1)


def test_near() -> None:
    names = ("grad-r", "soft-deep-r", "cross-entropy")
    assert suggestion("Grad_R", names) == " (did you mean grad-r?)"
    assert suggestion("entropy", names) == " (did you mean cross-entropy?)"
    assert suggestion("xyz", names) == suggestion("", names) == suggestion("r", names) == ""
    assert suggestion("x" * 10**6, names) == ""


def test_what_is_said_of_other_words_is_true() -> None:
    """Words from elsewhere are none of ours, and what they point to is."""
    context = main.make_context("snnr", ["train", "mnist"])
    train = main.get_command(context, "train")
    assert train is not None
    options = {name for option in train.params for name in option.opts}
    assert not set(words.OPTIONS) & options
    assert not set(words.COMMANDS) & set(COMMANDS)
    for told in words.OPTIONS.values():
        first = told.split()[0].strip(":,;")
        assert not first.startswith("--") or first in options
    known = {*snnr.optim.METHODS, *snnr.training.LOSSES, "cuda", "npz", "erk"}
    assert set(_ELSEWHERE.values()) <= known | {"tradeoff", "raster", "histograms"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_by_the_shell(shell: str) -> None:
    def asked(**variables: str) -> str:
        result = CliRunner().invoke(main, [], prog_name="snnr", env=variables)
        assert result.exit_code in (0, 1), result.output
        return result.stdout

    source = asked(_SNNR_COMPLETE=f"{shell}_source")
    assert f"_SNNR_COMPLETE={shell}_complete" in source

    def completed(line: str) -> list[str]:
        last = line.split(" ")[-1]
        found = asked(
            _SNNR_COMPLETE=f"{shell}_complete", COMP_WORDS=line,
            COMP_CWORD=last if shell == "fish" else str(line.count(" ")),
        )  # fmt: skip
        lines = found.splitlines()
        if shell == "zsh":  # kind, word, help
            return lines[1::3]
        return [one.split(",", 1)[1].split("\t")[0] for one in lines]

    assert completed("snnr se") == ["search"]
    assert set(completed("snnr ")) >= set(COMMANDS)
    assert completed("snnr train mnist --targ") == ["--target-connectivity"]
    assert completed("snnr train mnist --method grad") == ["grad-r"]
    assert completed("snnr train mnist --device cu") == ["cuda"]
