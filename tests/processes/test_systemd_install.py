"""An install is shown before it is made, makes nothing the second time, and leaves alone what it did not write."""

from __future__ import annotations

from pathlib import Path

from processes.systemd_install import State, compare, difference, install, uninstall

UNIT = "etc/systemd/system/corelane-trader.service"
DROP_IN = "etc/systemd/system/corelane-trader.service.d/50-corelane.conf"
FILES = {UNIT: "[Service]\nExecStart=/bin/true\n", DROP_IN: "[Service]\nCPUAffinity=2\n"}


def states(files: dict[str, str], root: Path) -> dict[str, State]:
    return {file.path: file.state for file in compare(files, root)}


def test_a_second_install_changes_nothing(tmp_path: Path) -> None:
    first = compare(FILES, tmp_path)
    assert len(install(first, tmp_path)) == 2
    assert "+CPUAffinity=2" in difference(first)
    second = compare(FILES, tmp_path)
    assert {file.state for file in second} == {State.SAME}
    assert install(second, tmp_path) == [] and difference(second) == []
    assert (tmp_path / UNIT).stat().st_mode & 0o777 == 0o644


def test_another_config_shows_its_difference_and_takes_over(tmp_path: Path) -> None:
    install(compare(FILES, tmp_path), tmp_path)
    changed = FILES | {DROP_IN: "[Service]\nCPUAffinity=3\n"}
    found = compare(changed, tmp_path)
    lines = difference(found)
    assert "-CPUAffinity=2" in lines and "+CPUAffinity=3" in lines
    assert [line.split()[0] for line in install(found, tmp_path)] == ["wrote"]
    assert set(states(changed, tmp_path).values()) == {State.SAME}


def test_what_the_config_wants_no_more_is_removed_with_its_empty_folder(tmp_path: Path) -> None:
    install(compare(FILES, tmp_path), tmp_path)
    only_unit = {UNIT: FILES[UNIT]}
    assert states(only_unit, tmp_path)[DROP_IN] is State.STALE
    install(compare(only_unit, tmp_path), tmp_path)
    assert not (tmp_path / DROP_IN).parent.exists()


def test_files_of_others_and_files_changed_by_hand_stay_as_they_are(tmp_path: Path) -> None:
    install(compare(FILES, tmp_path), tmp_path)
    edited = (tmp_path / DROP_IN).read_text() + "Nice=1\n"
    (tmp_path / DROP_IN).write_text(edited)
    (tmp_path / UNIT).write_text("[Service]\nExecStart=/bin/mine\n")
    masked = tmp_path / "etc/systemd/system/corelane-logger.service"
    masked.symlink_to("/dev/null")
    files = FILES | {"etc/systemd/system/corelane-logger.service": "[Service]\n"}
    assert states(files, tmp_path) == {
        UNIT: State.FOREIGN,
        DROP_IN: State.EDITED,
        "etc/systemd/system/corelane-logger.service": State.FOREIGN,
    }
    assert install(compare(files, tmp_path), tmp_path) == []
    assert uninstall(compare({}, tmp_path), tmp_path) == []
    assert (tmp_path / DROP_IN).read_text() == edited
    assert masked.is_symlink()


def test_uninstall_takes_away_all_that_install_wrote_and_nothing_else(tmp_path: Path) -> None:
    other = tmp_path / "etc/systemd/system/corelane-trader.service.d/10-mine.conf"
    other.parent.mkdir(parents=True)
    other.write_text("[Service]\nNice=3\n")
    install(compare(FILES, tmp_path), tmp_path)
    assert len(uninstall(compare({}, tmp_path), tmp_path)) == 2
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [other]
