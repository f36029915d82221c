"""Makes capture's listener visible to coverage:
`coverage run --branch -m pytest -n 0 -p tests.traced tests/capture`.

Up to Python 3.11 no trace function is called while a profile function runs; here it is, and the
profile function rests meanwhile."""

import sys

from graphc.compiler.capture.watch import ProfileWatch

_init = ProfileWatch.__init__


def _traced(self, listener):
    def tell(frame, kind, value):
        sys.setprofile(None)  # in here, so that 3.11 looks again whether there is a trace function
        listener(frame, kind, value)

    def profile(frame, kind, value):
        try:
            sys.call_tracing(tell, (frame, kind, value))
        finally:
            sys.setprofile(profile)

    _init(self, profile)


ProfileWatch.__init__ = _traced
