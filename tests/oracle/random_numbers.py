"""The engine's random numbers, written a second time with NumPy from their published descriptions: Philox4x32-10 (Salmon et al., SC 2011),
Box and Muller's normals by the polynomials that random/normal.h gives, unit vectors v, and an epoch's order of the images. All bit
for bit."""
import numpy as np

DATA_ORDER, DIRECTION = 2, 3
ALWAYS_ACCEPTED = 64  # from this many components on, no draw of v is rejected for being short
WHOLE_BATCH = 0xFFFFFFFF
U32, U64, F32 = np.uint32, np.uint64, np.float32


def philox(seed, purpose, attempt, step, sample, block):
    """The four words of a block, [..., 4]; every argument is a number or an array."""
    counter = np.broadcast_arrays(*(np.asarray(x, U64) for x in (block, sample, step, purpose | attempt << 8)))
    x0, x1, x2, x3 = counter
    key0, key1, low = U64(seed & 0xFFFFFFFF), U64(seed >> 32), U64(0xFFFFFFFF)
    for _ in range(10):
        a, b = U64(0xD2511F53) * x0, U64(0xCD9E8D57) * x2
        x0, x1, x2, x3 = b >> U64(32) ^ x1 ^ key0, b & low, a >> U64(32) ^ x3 ^ key1, a & low
        key0, key1 = (key0 + U64(0x9E3779B9)) & low, (key1 + U64(0xBB67AE85)) & low
    return np.stack([x0, x1, x2, x3], -1).astype(U32)


def fma(a, b, c):
    """a * b + c of f32 with one rounding. The product is exact in f64; the sum is rounded there to odd, after which rounding to f32 is right."""
    product, c = np.asarray(a, np.float64) * np.asarray(b, np.float64), np.asarray(c, np.float64)
    total = product + c
    part = total - product
    error = (product - (total - part)) + (c - part)
    even = total.view(U64) & U64(1) == 0
    return np.where((error != 0) & even, np.nextafter(total, np.copysign(np.inf, error)), total).astype(F32)


def polynomial(x, *coefficients):
    h = np.full_like(x, F32(float.fromhex(coefficients[0])))
    for coefficient in coefficients[1:]:
        h = fma(h, x, F32(float.fromhex(coefficient)))
    return h


def minus_two_log(bits):
    u = (bits.astype(U64) * U64(2) + U64(1)).astype(U32)
    zeros = 32 - np.frexp(u.astype(np.float64))[1]
    t = (u << zeros.astype(U32)).view(np.int32).astype(F32) * F32(2.0**-32)
    h = polynomial(
        t, "-0x1.6a2048p+1", "-0x1.a3bcd2p+1", "-0x1.356e8ep+1", "-0x1.7296f8p-2", "-0x1.0e04d4p-1", "0x1.f30ff4p-2", "-0x1.55a3a8p-1",
        "0x1.fffecp-1", "-0x1p+1",
    )  # fmt: skip
    return fma(zeros.astype(F32), F32(float.fromhex("0x1.62e43p+0")), h * t)


def normals(words):
    """Four standard normals of a block's four words, [..., 4]."""
    bits_r, bits_angle = words[..., 0::2], words[..., 1::2]
    r = np.sqrt(minus_two_log(bits_r))
    signed = (bits_angle.astype(U64) * U64(2) + U64(1)).astype(U32).view(np.int32)
    theta = signed.astype(F32) * F32(float.fromhex("0x1.921fb6p-32"))
    square = theta * theta
    p = polynomial(square, "-0x1.9943ep-13", "0x1.11073ap-7", "-0x1.555546p-3")
    q = polynomial(square, "0x1.9916ap-16", "-0x1.6c07f2p-10", "0x1.55553cp-5", "-0x1p-1", "0x1p+0")
    top = U32(0x80000000)
    a = ((r * q).view(U32) ^ (bits_r & top)).view(F32)
    b = r * fma(theta * square, p, theta)
    exchange = bits_angle & top != 0
    return np.stack([np.where(exchange, b, a), np.where(exchange, a, b)], -1).reshape(words.shape)


def sphere(seed, step, samples, c):
    """v of each sample on the unit sphere, [samples, c] f32, for the step counted from 0."""
    samples = np.asarray(samples)
    blocks = np.arange((c + 3) // 4)
    v = np.empty((len(samples), c), F32)
    left, attempt = np.arange(len(samples)), 0
    while len(left) > 0:
        n = normals(philox(seed, DIRECTION, attempt, step, samples[left, None], blocks)).reshape(len(left), -1)[:, :c]
        if c == 1:
            return np.copysign(F32(1), n)
        squares = fma(n * F32(2.0**25), n, F32(0.5)).astype(np.int32).astype(U64).sum(1, dtype=U64)
        accepted = (squares >= U64(c << 21)) | (c >= ALWAYS_ACCEPTED)
        v[left[accepted]] = n[accepted] * np.sqrt(F32(2.0**25) / squares[accepted].astype(F32))[:, None]
        left, attempt = left[~accepted], attempt + 1
    return v


def rademacher(seed, step, samples, c):
    words = philox(seed, DIRECTION, 0, step, np.asarray(samples)[:, None], np.arange((c + 127) // 128)).reshape(len(samples), -1)
    bits = (words[:, :, None] >> np.arange(32, dtype=U32)) & U32(1)
    magnitude = F32(1 / np.sqrt(np.float64(c)))
    return np.where(bits.reshape(len(samples), -1)[:, :c] == 1, -magnitude, magnitude)


def directions(config, step, samples, c):
    """v of a training's step, counted from 0, for the samples of its batch."""
    draw = {"sphere": sphere, "rademacher": rademacher}[config["v_distribution"]]
    if config["v_scope"] == "per_batch":
        return np.broadcast_to(draw(config["seed_v"], step, [WHOLE_BATCH], c), (len(samples), c))
    return draw(config["seed_v"], step, samples, c)


def order(seed, epoch, count):
    """An epoch's order of the samples, the epoch counted from 0: Fisher and Yates from the last position down, each choice by Lemire's
    multiplication."""
    words = philox(seed, DATA_ORDER, 0, epoch, 0, np.arange((count + 3) // 4)).reshape(-1).tolist()
    result = list(range(count))
    for i in range(count - 1, 0, -1):
        span, attempt = i + 1, 0
        product = words[i] * span
        while product & 0xFFFFFFFF < 2**32 % span:
            attempt += 1
            product = int(philox(seed, DATA_ORDER, attempt, epoch, 0, i // 4)[i % 4]) * span
        j = product >> 32
        result[i], result[j] = result[j], result[i]
    return np.array(result)
