"""torch.hub: files by URL into a cache, models of a folder."""

import hashlib

import pytest

import graphc


@pytest.fixture(autouse=True)
def _folder(tmp_path):
    graphc.hub.set_dir(tmp_path / "hub")
    yield
    graphc.hub._folder.clear()


def test_state_dicts_by_url(tmp_path):
    source = tmp_path / "w.pt"
    graphc.save({"w": graphc.arange(3.0)}, source)
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    named = source.rename(tmp_path / f"w-{digest[:8]}.pt")
    for _ in range(2):  # the second time from the cache
        found = graphc.hub.load_state_dict_from_url(named.as_uri(), progress=False, check_hash=True)
        assert found["w"].tolist() == [0, 1, 2]
    assert (tmp_path / "hub" / "checkpoints" / named.name).exists()
    with pytest.raises(RuntimeError, match='invalid hash value .expected "0000"'):
        graphc.hub.download_url_to_file(named.as_uri(), str(tmp_path / "x"), "0000")
    assert not (tmp_path / "x").exists()


def test_models_of_a_folder(tmp_path):
    (tmp_path / "hubconf.py").write_text(
        'dependencies = ["numpy"]\n\ndef model(n, bias=True):\n    """A layer."""\n'
        "    import graphc\n    return graphc.nn.Linear(n, 1, bias=bias)\n"
    )
    hub = graphc.hub
    assert hub.load(str(tmp_path), "model", 3, source="local", bias=False).in_features == 3
    assert hub.list(str(tmp_path), source="local") == ["model"]
    assert hub.help(str(tmp_path), "model", source="local") == "A layer."
    with pytest.raises(RuntimeError, match="Cannot find callable nothing in hubconf"):
        hub.load(str(tmp_path), "nothing", source="local")
    with pytest.raises(RuntimeError, match="does not fetch repositories"):
        hub.load("pytorch/vision", "resnet18")
    with pytest.raises(ValueError, match='Unknown source: "moon"'):
        hub.load("x", "y", source="moon")
