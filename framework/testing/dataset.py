"""Contract of datasets."""

from __future__ import annotations

import json
import pickle
from abc import ABC, abstractmethod
from typing import Any, cast

import pytest
import torch
from torch.utils.data import DataLoader

from bfmkit.interfaces import Dataset


class DatasetContract(ABC):
    """Contract of datasets: subclass it in a test and open a small dataset in ``make``."""

    @abstractmethod
    def make(self) -> Dataset:
        """The dataset under test, of at least ten transitions."""

    def test_reads_by_index_in_the_order_asked_for(self) -> None:
        dataset = self.make()
        last = len(dataset) - 1
        indices = torch.tensor([last, 0, 3, 3, last // 2])
        together = dataset.read(indices)
        assert together.batch_size == (5,)
        for row, index in enumerate(indices):
            alone = dataset.read(index.reshape(1))[0]
            assert (together[row] == alone).all()

    def test_reads_nothing_as_an_empty_batch(self) -> None:
        nothing = self.make().read(torch.empty(0, dtype=torch.int64))
        assert nothing.batch_size == (0,)
        assert nothing["next", "physics"].shape == (0, self.make().spec.physics_size)

    def test_has_all_keys_in_their_shapes(self) -> None:
        dataset, spec = self.make(), self.make().spec
        rows = dataset.read(torch.arange(4))
        assert rows["observation"].shape == rows["next", "observation"].shape == (4, spec.observation_size)
        assert rows["action"].shape == (4, spec.action_size)
        assert rows["next", "physics"].shape == (4, spec.physics_size)
        assert rows["next", "physics"].dtype == torch.float64
        for name in ("terminated", "truncated"):
            assert rows["next", name].shape == (4,)
            assert rows["next", name].dtype == torch.bool

    def test_refuses_an_index_outside(self) -> None:
        dataset = self.make()
        for index in (-1, len(dataset)):
            with pytest.raises(IndexError):
                dataset.read(torch.tensor([index]))

    def test_is_indexed_as_a_list_is(self) -> None:
        dataset = self.make()
        everything = dataset.read(torch.arange(len(dataset)))
        assert dataset[1].batch_size == () and (dataset[1] == everything[1]).all()
        assert (dataset[-1] == everything[-1]).all()
        assert (dataset[1:4] == everything[1:4]).all() and (dataset[[2, 0]] == everything[[2, 0]]).all()
        assert len(list(cast(Any, dataset))) == len(dataset)
        with pytest.raises(IndexError):
            dataset[len(dataset)]

    def test_torchs_loader_takes_it(self) -> None:
        dataset = self.make()
        everything = dataset.read(torch.arange(len(dataset)))
        batches = list(DataLoader(cast(Any, dataset), batch_size=4))
        assert (torch.cat(batches) == everything).all()

    def test_reads_the_named_keys_alone(self) -> None:
        dataset, rows = self.make(), torch.tensor([2, 0])
        keys = ["observation", ("next", "terminated")]
        read = dataset.read_keys(rows, keys)
        assert set(read.keys(include_nested=True, leaves_only=True)) == set(keys)
        for key in keys:
            assert torch.equal(read[key], dataset.read(rows)[key])

    def test_pickles_as_a_reference_to_its_files(self) -> None:
        dataset = self.make()
        expected = dataset.read(torch.arange(len(dataset)))
        pickled = pickle.dumps(dataset)
        assert len(pickled) < 10_000
        assert (pickle.loads(pickled).read(torch.arange(len(dataset))) == expected).all()

    def test_to_device_gives_the_same_transitions(self) -> None:
        dataset = self.make()
        keys = ["action", ("next", "observation")]
        everything = dataset.to_device("cpu", keys)
        assert everything.batch_size == (len(dataset),)
        some = torch.tensor([0, len(dataset) - 1])
        for key in keys:
            assert torch.equal(everything[key][some], dataset.read(some)[key])
        assert set(everything.keys(include_nested=True, leaves_only=True)) == set(keys)

    def test_says_which_data_it_is_in_words_that_a_summary_can_hold(self) -> None:
        rows = self.make().provenance()
        assert json.loads(json.dumps(rows)) == rows
        for row in rows:
            assert set(row) == {"path", "checksum", "episodes", "skipped"}
            assert 0 <= row["skipped"] <= (row["episodes"] or 0)
