"""Write decimal_powers.h: powers of ten, by which decimals.c scales float32; and check the constants in that file.

python csrc/make_decimal_powers.py
"""

from pathlib import Path

LEAST, MOST = -31, 45  # what float32 needs: 10**-k, 10**k being the largest power below the width of its interval


def exponent_of(power: int) -> int:
    """Return floor(log2(10**power)), exactly."""
    return (10**power).bit_length() - 1 if power >= 0 else -((10**-power - 1).bit_length())


def ten(power: int) -> int:
    """Return 10**power, scaled by a power of two to 64 bits and rounded up (where it is exact, one more)."""
    shift = 63 - exponent_of(power)
    exact = 10**power << shift if power >= 0 and shift >= 0 else None
    return (exact if exact is not None else (10**power >> -shift) if power >= 0 else (1 << shift) // 10**-power) + 1


def below(numerator: int, shift: int) -> int:
    """Return floor(log10(numerator * 2**shift))."""
    up, down = numerator << max(shift, 0), 1 << max(-shift, 0)
    power = -60
    while 10 ** max(power + 1, 0) * down <= up * 10 ** max(-power - 1, 0):
        power += 1
    return power


def main() -> None:
    """Check, and write."""
    for power in range(LEAST, MOST + 1):
        assert 2**63 <= ten(power) < 2**64
        assert exponent_of(power) == power * 1741647 >> 19
    for shift in range(-149, 105):
        assert below(1, shift) == shift * 1262611 >> 22
        assert below(3, shift - 2) == shift * 1262611 - 524031 >> 22
        for k in (below(1, shift), below(3, shift - 2)):
            assert LEAST <= -k <= MOST
            assert 1 <= shift + exponent_of(-k) + 1 <= 4  # what 32 bits have room for
    lines = [
        f"/* decimal_powers.h: 10**{LEAST} to 10**{MOST} by 64 bits, rounded up; by make_decimal_powers.py. */",
        "#ifndef FE_DECIMAL_POWERS_H",
        "#define FE_DECIMAL_POWERS_H",
        "#include <stdint.h>",
        "",
        f"enum {{ FE_LEAST_POWER = {LEAST} }};",
        "static const uint64_t fe_powers[] = {",
    ]
    words = [f"UINT64_C(0x{ten(power):016X})," for power in range(LEAST, MOST + 1)]
    lines += ["    " + " ".join(words[i : i + 3]) for i in range(0, len(words), 3)]
    (Path(__file__).parent / "decimal_powers.h").write_text("\n".join([*lines, "};", "#endif"]) + "\n")


if __name__ == "__main__":
    main()
