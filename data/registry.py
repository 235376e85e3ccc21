"""What snnr knows about each named data set: files, checksums, shapes, constants.

A `Record` is plain data. Every function of `snnr.data` that takes a name also takes a `Record`,
so a private mirror or a small stand-in needs no registration.
"""

import re
from dataclasses import dataclass
from typing import Literal

from snnr.errors import DataError, suggestion

Augmentation = Literal["affine", "crop-flip"]


@dataclass(frozen=True)
class File:
    """One file of a data set.

    name : file name as it is distributed (compressed).
    role : what an IDX file holds; "archive" for a tar that holds everything.
    packed_md5 : checksums under which the compressed file is known; the first is the publisher's.
    packed_limit : a download larger than this (bytes) is refused.
    md5 : checksum of the unpacked content, which decides when a file was compressed anew;
        None where only the packed form is known.
    size : length of the unpacked content in bytes (for an archive, the most it may unpack to).
    """

    name: str
    role: Literal["x_train", "y_train", "x_test", "y_test", "archive"]
    packed_limit: int
    size: int
    packed_md5: tuple[str, ...] = ()
    md5: str | None = None


@dataclass(frozen=True)
class Record:
    """One data set.

    image : (C, H, W).
    mean, std : per channel, of pixels scaled to 0..1.
    layout : "idx" (four files) or "cifar-binary" (one tar of label + pixels records).
    train_members, test_members : the tar's members in the order in which they are joined, each
        with as many records as the others of its kind.
    bundled : ships inside the package.
    system_folder : where a distribution's package puts the files.
    urls : base addresses to download from, tried in turn.
    """

    name: str
    title: str
    classes: int
    image: tuple[int, int, int]
    n_train: int
    n_test: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augmentation: Augmentation | None
    layout: Literal["idx", "cifar-binary"]
    files: tuple[File, ...]
    train_members: tuple[str, ...] = ()
    test_members: tuple[str, ...] = ()
    bundled: bool = False
    system_folder: str | None = None
    urls: tuple[str, ...] = ()


MNIST = Record(
    name="mnist",
    title="MNIST, handwritten digits (LeCun, Cortes, Burges; CC BY-SA 3.0)",
    classes=10,
    image=(1, 28, 28),
    n_train=60_000,
    n_test=10_000,
    mean=(0.1307,),
    std=(0.3081,),
    augmentation="affine",
    layout="idx",
    files=(
        File(
            name="train-images-idx3-ubyte.gz",
            role="x_train",
            packed_limit=16 << 20,
            size=47_040_016,
            packed_md5=("c7dfcf1bfd3481a40f7b3aedbdbd083c",),
            md5="6bbc9ace898e44ae57da46a324031adb",
        ),
        File(
            name="train-labels-idx1-ubyte.gz",
            role="y_train",
            packed_limit=1 << 20,
            size=60_008,
            packed_md5=("d289298a347a2cc65765a3c81043ba88",),
            md5="a25bea736e30d166cdddb491f175f624",
        ),
        File(
            name="t10k-images-idx3-ubyte.gz",
            role="x_test",
            packed_limit=4 << 20,
            size=7_840_016,
            packed_md5=("ecff87aa27c74fbc2c1f97e89c19221d",),
            md5="2646ac647ad5339dbf082846283269ea",
        ),
        File(
            name="t10k-labels-idx1-ubyte.gz",
            role="y_test",
            packed_limit=1 << 20,
            size=10_008,
            packed_md5=("a38049bc042dc6e683842a84160daae1",),
            md5="27ae3e4e09519cfbb04c329615203637",
        ),
    ),
    bundled=True,
)

# The packed checksums are Zalando's, then Debian's: the same content, compressed differently.
FASHION_MNIST = Record(
    name="fashion-mnist",
    title="Fashion-MNIST, articles of clothing (Zalando; MIT)",
    classes=10,
    image=(1, 28, 28),
    n_train=60_000,
    n_test=10_000,
    mean=(0.2860,),
    std=(0.3530,),
    augmentation="affine",
    layout="idx",
    files=(
        File(
            name="train-images-idx3-ubyte.gz",
            role="x_train",
            packed_limit=40 << 20,
            size=47_040_016,
            packed_md5=("8d4fb7e6c68d591d4c3dfef9ec88bf0d", "cf8536b0aa1a6ac5fa3f23001093305c"),
            md5="f4a8712d7a061bf5bd6d2ca38dc4d50a",
        ),
        File(
            name="train-labels-idx1-ubyte.gz",
            role="y_train",
            packed_limit=1 << 20,
            size=60_008,
            packed_md5=("25c81989df183df01b3e8a0aad5dffbe", "10bea18fdb374794d4bb42e356e600c9"),
            md5="9018921c3c673c538a1fc5bad174d6f9",
        ),
        File(
            name="t10k-images-idx3-ubyte.gz",
            role="x_test",
            packed_limit=8 << 20,
            size=7_840_016,
            packed_md5=("bef4ecab320f06d8554ea6380940ec79", "f78720b4224f21cce2f2ccf2d7a94c9a"),
            md5="8181f5470baa50b63fa0f6fddb340f0a",
        ),
        File(
            name="t10k-labels-idx1-ubyte.gz",
            role="y_test",
            packed_limit=1 << 20,
            size=10_008,
            packed_md5=("bb300cfdad3c16e7a12a480ee83cd310", "0d30e22e447f3c33dab9ed536400ac01"),
            md5="15d484375f8d13e6eb1aabb0c3f46965",
        ),
    ),
    system_folder="/usr/share/datasets/fashion-mnist",
    urls=(
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ),
)

CIFAR10 = Record(
    name="cifar10",
    title="CIFAR-10, small colour photographs (Krizhevsky)",
    classes=10,
    image=(3, 32, 32),
    n_train=50_000,
    n_test=10_000,
    mean=(0.4914, 0.4822, 0.4465),
    std=(0.2023, 0.1994, 0.2010),
    augmentation="crop-flip",
    layout="cifar-binary",
    files=(
        File(
            name="cifar-10-binary.tar.gz",
            role="archive",
            packed_limit=200 << 20,
            size=200 << 20,
            packed_md5=("c32a1d4ab5d03f1284b67883e8d87530",),
        ),
    ),
    train_members=tuple(f"cifar-10-batches-bin/data_batch_{i}.bin" for i in range(1, 6)),
    test_members=("cifar-10-batches-bin/test_batch.bin",),
    urls=("https://www.cs.toronto.edu/~kriz/",),
)

#: data sets of events that people ask for by name
_EVENTS = ("nmnist", "dvsgesture", "dvs128gesture", "cifar10dvs", "shd", "ssc", "ncaltech101")

RECORDS = {record.name: record for record in (MNIST, FASHION_MNIST, CIFAR10)}


def lookup(name: str | Record) -> Record:
    """The record of a data set by its name.

    Raises
    ------
    DataError : no data set has this name; the message lists those there are.
    """
    if isinstance(name, Record):
        return name
    if name in RECORDS:
        return RECORDS[name]
    if re.sub("[^a-z0-9]", "", name.lower()) in _EVENTS:
        raise DataError(
            f"{name!r}: this version fetches no event recordings; read them in a program and train "
            "on snnr.input.Events"
        )
    raise DataError(
        f"unknown data set {name!r}{suggestion(name, RECORDS)}: use {', '.join(RECORDS)}, "
        "or the path of an .npz or .h5 file with x_train, y_train, x_test, y_test"
    )
