from __future__ import annotations

import pytest
import torch

from bfmkit.components.bfms.td_jepa import TDJepa
from bfmkit.components.networks.two_stream import TwoStreamNetworks
from bfmkit.testing.bfm import BFMContract
from bfmkit.testing.objective import SPEC


class TestTDJepa(BFMContract):
    def make(self) -> TDJepa:
        torch.manual_seed(0)
        return TDJepa(SPEC, TwoStreamNetworks(16, 16, 2), dim=6, state_dim=8)

    def test_codes_lie_on_spheres(self) -> None:
        bfm, s = self.make(), torch.randn(4, 5)
        torch.testing.assert_close(bfm.task_code(s).norm(dim=-1), torch.full((4,), 6**0.5))
        torch.testing.assert_close(bfm.state_code(s).norm(dim=-1), torch.full((4,), 8**0.5))

    def test_knows_the_second_moment_of_its_features(self) -> None:
        bfm, s = self.make(), torch.randn(300, 5)
        bfm.fit_second_moment(s)
        features = bfm.features(s, s, s).double()
        torch.testing.assert_close(bfm.feature_second_moment(), features.mT @ features / 300)

    def test_refuses_sizes_that_make_no_sense(self) -> None:
        with pytest.raises(ValueError, match="state_dim"):
            TDJepa(SPEC, TwoStreamNetworks(16, 16), state_dim=0)
