from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.support import KEY, entropy
from peersockets_core import DriveKey, KeyPair
from peersockets_core.keys import discovery_key

COUNTING = bytes(range(32))
HEX = COUNTING.hex()
Z_BASE_32 = "yyyoryarywdyqnyjbefoadeqbhebnrounoktcfaadrpbs8y7daxo"  # z32 1.1.0

# hypercore-crypto 2.3.2: discoveryKey
DISCOVERY_KEYS = [
    (bytes(32), "6b7ecf9ce456d56e5145ec4c5661e0c79ee47ddcc9c0504e90aa6fd60746365c"),
    (COUNTING, "b74b6d642892501cca569ff03d3bd21d9db9768a3c12a5516a4a80a7bebad901"),
    (b"\xff" * 32, "62ff7d9d892868de16341ac27f48b298661ccb9640169cf7142381c106a5c71e"),
]

# hypercore-protocol 8.0.7: keyPair(seed), secret and public
X25519 = [
    (
        bytes(32),
        "89eb0d6a8a691dae2cd15ed0369931ce0a949ecafa5c3f93f8121833646e15c3",
        "557e23d7346f213ec5a23713b2a2497eef35354d5b52088ac6a5993a5fdb091e",
    ),
    (
        COUNTING,
        "cb2f5160fc1f7e05a55ef49d340b48da2e5a78099d53393351cd579dd42503d6",
        "0e0216223f147143d32615a91189c288c1728cba3cc5f9f621b1026e03d83129",
    ),
    (
        b"\xff" * 32,
        "e2021160500f01190b8b9f36f9d0d1dacf8e91ae70deed6ddda43ed414585ed4",
        "fda580ef410f1f06cdfe55ee414302a673881edb5661cd6b02518acab11ea371",
    ),
]

# hypercore-crypto 2.3.2: keyPair(seed), public
ED25519 = [
    (bytes(32), "3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29"),
    (COUNTING, "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"),
]


@pytest.mark.parametrize(("key", "expected"), DISCOVERY_KEYS)
def test_discovery_keys_match_the_reference(key: bytes, expected: str) -> None:
    assert discovery_key(key).hex() == expected
    assert DriveKey(key).discovery_key.hex() == expected


@pytest.mark.parametrize(("seed", "secret", "public"), X25519)
def test_x25519_key_pairs_match_the_reference(seed: bytes, secret: str, public: str) -> None:
    pair = KeyPair.from_seed(seed)
    assert (pair.x25519_secret_key.hex(), pair.x25519_public_key.hex()) == (secret, public)
    assert pair.public_keys["hypercore9"].hex() == public


@pytest.mark.parametrize(("seed", "public"), ED25519)
def test_ed25519_key_pairs_match_the_reference(seed: bytes, public: str) -> None:
    pair = KeyPair.from_seed(seed)
    assert pair.public_keys["hypercore11"].hex() == public
    assert pair.ed25519_secret_key == seed + bytes.fromhex(public)


SPELLINGS: dict[str, DriveKey | bytes | str] = {
    "bytes": COUNTING,
    "a key": DriveKey(COUNTING),
    "hex": HEX,
    "hex in capitals": HEX.upper(),
    "hex in blanks": f"  {HEX}\n",
    "z-base-32": Z_BASE_32,
    "z-base-32 in capitals": Z_BASE_32.upper(),
    "URL": f"hyper://{HEX}",
    "URL with a slash": f"hyper://{HEX}/",
    "URL with a path": f"hyper://{HEX}/some/file+name.txt",
    "URL with a version": f"hyper://{HEX}+15",
    "URL with a version and a path": f"hyper://{HEX}+15/file",
    "URL in capitals": f"HYPER://{HEX.upper()}/",
    "URL of z-base-32": f"hyper://{Z_BASE_32}/x",
    "URL with a query": f"hyper://{HEX}?x",
    "Pear's URL": f"pear://{Z_BASE_32}",
    "Pear's URL of hex": f"pear://{HEX}/",
    "Pear's URL with a path": f"pear://{Z_BASE_32}/some/file.txt",
    "Pear's URL with a fragment": f"pear://{Z_BASE_32}#part",
    "Pear's URL with a version": f"pear://0.123.{Z_BASE_32}/index.html",
    "Pear's URL with a version and a hash": f"pear://0.123.{Z_BASE_32}.{Z_BASE_32}",
    "Pear's URL in capitals": f"PEAR://{Z_BASE_32.upper()}/",
}


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
def test_every_way_to_write_a_key(spelling: DriveKey | bytes | str) -> None:
    assert DriveKey.parse(spelling).public_key == COUNTING


BAD: dict[str, bytes | str] = {
    "nothing": "",
    "no bytes": b"",
    "31 bytes": bytes(31),
    "33 bytes": bytes(33),
    "63 digits": HEX[1:],
    "65 digits": HEX + "0",
    "not hex": "g" * 64,
    "hex with blanks inside": HEX[:31] + "  " + HEX[31:62],
    "hex with other digits": "\u0661" * 64,
    "51 characters": Z_BASE_32[1:],
    "not z-base-32": "l" * 52,
    "bits beyond the key": Z_BASE_32[:-1] + "b",
    "letters that lower to two": "\u0130" * 52,
    "another scheme": f"dat://{HEX}",
    "a scheme alone": "hyper://",
    "a host name": "hyper://example.com/",
    "a slash missing": f"hyper:/{HEX}",
    "a user": f"hyper://user@{HEX}",
    "Pear's URL of an application with a name": "pear://runtime",
    "Pear's URL with half a version": f"pear://1.{Z_BASE_32}",
    "Pear's URL with a version that is no number": f"pear://0.x.{Z_BASE_32}",
    "Pear's URL with a version too long": f"pear://0.1.{Z_BASE_32}.{Z_BASE_32}.{Z_BASE_32}",
}


@pytest.mark.parametrize("key", BAD.values(), ids=BAD)
def test_bad_keys_are_refused(key: bytes | str) -> None:
    with pytest.raises(ValueError, match=r"not a drive key|must be 32 bytes"):
        DriveKey.parse(key)


@pytest.mark.parametrize("key", [None, 5, [HEX]])
def test_keys_of_other_types_are_refused(key: object) -> None:
    with pytest.raises(TypeError, match="must be"):
        DriveKey.parse(key)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="bytes"):
        DriveKey(key)  # type: ignore[arg-type]


def test_a_very_long_bad_key_is_not_repeated_in_full() -> None:
    with pytest.raises(ValueError, match="not a drive key") as caught:
        DriveKey.parse("x" * 100_000)
    assert len(str(caught.value)) < 300


@given(st.binary(min_size=32, max_size=32))
def test_a_key_prints_in_its_own_format(public_key: bytes) -> None:
    key = DriveKey(public_key)
    assert DriveKey.parse(key.public_key.hex()) == DriveKey.parse(key.url) == key


@given(st.text(max_size=80))
def test_any_text_is_a_key_or_raises_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        DriveKey.parse(text)


def test_keys_are_equal_by_their_bytes() -> None:
    assert DriveKey(KEY.public_key) == KEY
    assert hash(DriveKey(KEY.public_key)) == hash(KEY)
    assert DriveKey(COUNTING) != KEY


@pytest.mark.parametrize("seed", [b"", bytes(31), bytes(33), bytes(64)])
def test_a_seed_must_have_32_bytes(seed: bytes) -> None:
    with pytest.raises(ValueError, match="seed must be 32 bytes"):
        KeyPair.from_seed(seed)


def test_generating_takes_32_bytes_of_entropy() -> None:
    assert KeyPair.generate(entropy("x")).seed == entropy("x")(32)


@pytest.mark.parametrize("key", BAD.values(), ids=BAD)
def test_a_mistyped_key_is_not_repeated(key: bytes | str) -> None:
    with pytest.raises(ValueError, match=r"not a drive key|must be 32 bytes") as caught:
        DriveKey.parse(key)
    assert HEX[1:17] not in str(caught.value)
    assert Z_BASE_32[1:17] not in str(caught.value)
    assert "\\x00" not in str(caught.value)


def test_a_drive_is_named_by_its_discovery_key() -> None:
    name = KEY.discovery_key.hex()[:16]
    assert str(KEY) == f"{KEY}" == name
    assert repr(KEY) == f"<DriveKey {name}>"
    assert KEY.url == f"hyper://{bytes(KEY.public_key).hex()}/"


def test_secrets_are_not_shown() -> None:
    pair = KeyPair.from_seed(COUNTING)
    for secret in (pair.seed, pair.x25519_secret_key, pair.ed25519_secret_key):
        assert secret.hex()[:16] not in repr(pair)
        assert repr(bytes(secret))[2:10] not in repr(pair)
