"""Packages, read with the standard library."""

import zipfile

from imperv.tasks.imperviousness.products.packages import write_package


def test_a_package_holds_what_it_was_given_and_nothing_of_when(tmp_path):
    files = {"a.tif": tmp_path / "1", "Metadata/a.xml": tmp_path / "2"}
    for k, path in enumerate(files.values()):
        path.write_bytes(bytes([k]) * 5_000_000)
    write_package(tmp_path / "a.zip", files)
    with zipfile.ZipFile(tmp_path / "a.zip") as package:
        assert package.testzip() is None
        assert package.namelist() == ["a.tif", "Metadata/a.xml"]
        assert {name: package.read(name) for name in files} == {name: path.read_bytes() for name, path in files.items()}
        assert all(entry.external_attr >> 16 == 0o644 for entry in package.infolist())
    for path in files.values():
        path.touch()
    write_package(tmp_path / "b.zip", files)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
