"""Every function that the lists of autocast name is wrapped, wherever it is defined."""

import graphc
import graphc.fft
import graphc.linalg
import graphc.nn.functional
from graphc.core import autocast

ROOMS = {
    "": graphc,
    "functional": graphc.nn.functional,
    "linalg": graphc.linalg,
    "fft": graphc.fft,
}


def test_all_are_wrapped():
    bare = []
    for table in (autocast.LOWER, autocast.FLOAT32):
        for room, names in table.items():
            for name in names.split():
                f = getattr(ROOMS[room], name, None)
                layers = []  # a subclass of Tensor in another test may have put one on top
                while f is not None:
                    layers.append(f.__code__.co_filename)
                    f = getattr(f, "__wrapped__", None)
                if layers and autocast.__file__ not in layers:
                    bare.append(f"{room}.{name}")
    assert not bare


def test_wrapped_functions_keep_their_names():
    f = graphc.nn.functional.linear
    assert f.__name__ == "linear" and f.__doc__ and f.__wrapped__
