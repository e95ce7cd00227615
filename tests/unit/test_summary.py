"""`edgeflow summary` where what it reads beside the table is damaged, or of another version."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeflow import cli, files, layout


@pytest.mark.parametrize("damaged", ["{", "[]", '{"of_another_version": 1}'])
def test_a_record_of_sources_that_does_not_fit_hides_no_table(
    damaged: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    paths = layout.report()
    files.write_json(Path(paths["decision"]), [])
    files.write_text(Path(paths["sources"]), damaged)
    assert cli.main(["summary"]) == 0
    said = capsys.readouterr().out
    assert f"cannot be told: {paths['sources']}: " in said
    assert said.endswith("; delete the file and run snakemake, which makes it again\n")
