from __future__ import annotations

from peersockets_core.udx.bbr import Bbr
from peersockets_core.udx.congestion import Controller


def test_bbr_implements_the_controller() -> None:
    controller: Controller = Bbr(packet=1172, now=0.0)
    controller.resize(1472)
    controller.sending(0.0, app_limited=True)
    assert controller.window == 11_720
