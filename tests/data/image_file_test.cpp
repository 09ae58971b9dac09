#include "data/image_file.h"

#include <sys/resource.h>
#include <zlib.h>

#include <iostream>
#include <random>

#include "base/build_config.h"
#include "base/error.h"
#include "tests/data/largest_allocation.h"
#include "tests/data/pictures.h"
#include "tests/support/catch.h"
#include "tests/support/error_message.h"
#include "tests/support/mutation.h"

namespace qmse {
namespace {

using test::message_of;
using test::missing;
using test::picture;
using test::pnm_bytes;
using test::TempDirectory;
using test::write_bytes;

void check_same(const Picture& a, const Picture& b) {
  CHECK(a.channels == b.channels);
  CHECK(a.width == b.width);
  CHECK(a.height == b.height);
  CHECK(a.pixels == b.pixels);
}

// A PNG file by hand: signature and chunks, with any header.
std::string png_chunk(const std::string& name, const std::string& data) {
  const auto big_endian = [](std::uint32_t value) {
    return std::string{static_cast<char>(value >> 24), static_cast<char>(value >> 16),
                       static_cast<char>(value >> 8), static_cast<char>(value)};
  };
  const std::string body = name + data;
  return big_endian(static_cast<std::uint32_t>(data.size())) + body +
         big_endian(static_cast<std::uint32_t>(
             crc32(0, reinterpret_cast<const Bytef*>(body.data()), static_cast<uInt>(body.size()))));
}
std::string png_bytes(std::uint8_t width, std::uint8_t height, std::uint8_t bits, std::uint8_t type,
                      const std::string& rows, const std::string& before_data = "") {
  uLongf size = compressBound(rows.size());
  std::string data(size, '\0');
  compress(reinterpret_cast<Bytef*>(data.data()), &size, reinterpret_cast<const Bytef*>(rows.data()),
           rows.size());
  data.resize(size);
  return "\x89PNG\r\n\x1a\n" +
         png_chunk("IHDR", std::string{0, 0, 0, static_cast<char>(width), 0, 0, 0, static_cast<char>(height),
                                       static_cast<char>(bits), static_cast<char>(type), 0, 0, 0}) +
         before_data + png_chunk("IDAT", data) + png_chunk("IEND", "");
}

bool without_libpng() {
  if (!QMSE_DATA_TOOLS) std::cout << "[skipped: this build has no libpng]\n";
  return !QMSE_DATA_TOOLS;
}

TEST_CASE("image file: PPM and PGM files") {
  const TempDirectory folder;
  for (const std::int64_t channels : {1, 3}) {
    const Picture made = picture(5, 3, channels);
    write_bytes(folder / "p", pnm_bytes(made));
    check_same(read_picture(folder / "p"), made);
  }
  const auto message = [&](const std::string& bytes) {
    write_bytes(folder / "broken.ppm", bytes);
    return message_of<DataError>([&] { read_picture(folder / "broken.ppm"); });
  };
  const std::string pixels(12, 'x');
  CHECK(missing(message("P6 2 2 255\n" + pixels.substr(1)), {"broken.ppm", "12 bytes", "11 follow"}) == "");
  CHECK(missing(message("P6 2 2 255\n" + pixels + "y"), {"13 follow"}) == "");
  CHECK(missing(message("P6 2 2 65535\n" + pixels), {"65535", "only 255"}) == "");
  CHECK(missing(message("P6 0 2 255\n"), {"no pixels"}) == "");
  CHECK(missing(message("P6 9000 2 255\n"), {"larger than 8192"}) == "");
  CHECK(missing(message("P6 99999999999999999999 2 255\n"), {"larger than 8192"}) == "");
  CHECK(missing(message("P6 2"), {"header is damaged"}) == "");
  CHECK(missing(message("P6 2 2 255"), {"header is damaged"}) == "");
  CHECK(missing(message("P6 #"), {"header is damaged"}) == "");
  CHECK(missing(message("P3 1 1 255 1 2 3"), {"plain text", "P6"}) == "");
  CHECK(missing(message("GIF89a"), {"no PNG, JPEG, PPM or PGM"}) == "");
  CHECK(missing(message(""), {"no PNG, JPEG, PPM or PGM"}) == "");
}

TEST_CASE("image file: PNG files of every kind that has 8 bits or fewer") {
  if (without_libpng()) return;
  const TempDirectory folder;
  const auto read = [&](const std::string& bytes) {
    write_bytes(folder / "p.png", bytes);
    return read_picture(folder / "p.png");
  };
  check_same(read(png_bytes(2, 2, 8, 0, std::string("\0\1\2\0\3\4", 6))), Picture{1, 2, 2, {1, 2, 3, 4}});
  check_same(read(png_bytes(1, 2, 8, 2, std::string("\0\1\2\3\0\4\5\6", 8))),
             Picture{3, 2, 1, {1, 2, 3, 4, 5, 6}});
  check_same(read(png_bytes(3, 1, 1, 0, std::string("\0\xa0", 2))), Picture{1, 1, 3, {255, 0, 255}});
  check_same(read(png_bytes(2, 1, 4, 0, std::string("\0\x1f", 2))), Picture{1, 1, 2, {17, 255}});
  const std::string palette = png_chunk("PLTE", std::string("\1\2\3\4\5\6", 6));
  check_same(read(png_bytes(2, 1, 8, 3, std::string("\0\1\0", 3), palette)),
             Picture{3, 1, 2, {4, 5, 6, 1, 2, 3}});
  // Row filter 1: the difference to the pixel on the left.
  check_same(read(png_bytes(3, 1, 8, 0, std::string("\1\5\1\1", 4))), Picture{1, 1, 3, {5, 6, 7}});
  // A gamma value is not applied: the stored values are what is trained on.
  check_same(read(png_bytes(2, 1, 8, 0, std::string("\0\1\2", 3),
                            png_chunk("gAMA", std::string("\0\1\x86\xa0", 4)))),
             Picture{1, 1, 2, {1, 2}});
  for (const std::int64_t channels : {1, 3}) {
    const Picture made = picture(31, 9, channels);
    check_same(read(encode_png(made)), made);
  }
}

// A JPEG file of one block by hand (ITU T.81): quantisation by 1, so that a DC coefficient is 8 (value - 128), and
// Huffman codes of two bits: 00 for ten bits that follow, 01 for zero; AC 0 for the block's end.
std::string jpeg_bytes(int components, const std::string& coded) {
  const auto segment = [](char marker, const std::string& body) {
    const std::size_t size = body.size() + 2;
    return std::string{'\xff', marker, static_cast<char>(size >> 8), static_cast<char>(size & 255)} + body;
  };
  std::string frame{8, 0, 8, 0, 8, static_cast<char>(components)}, scan{static_cast<char>(components)};
  for (char i = 1; i <= components; ++i) {
    frame += std::string{i, 0x11, 0};
    scan += std::string{i, 0};
  }
  std::string dc(17, '\0'), ac(17, '\0');
  dc[2] = 2;
  ac[0] = 0x10;
  ac[1] = 1;
  return "\xff\xd8" + segment('\xdb', std::string(1, '\0') + std::string(64, '\1')) + segment('\xc0', frame) +
         segment('\xc4', dc + std::string{10, 0}) + segment('\xc4', ac + std::string(1, '\0')) +
         segment('\xda', scan + std::string{0, 63, 0}) + coded + "\xff\xd9";
}

TEST_CASE(
    "image file: JPEG in grey and in three colours, and what is damaged or of other colours is refused") {
  if (without_libpng()) return;
  const auto read = [](const std::string& bytes) { return decode_jpeg(bytes, "some/x.jpg"); };
  const auto all = [](std::initializer_list<std::uint8_t> pixel) {
    std::vector<std::uint8_t> pixels;
    for (int i = 0; i < 64; ++i) pixels.insert(pixels.end(), pixel.begin(), pixel.end());
    return pixels;
  };
  // 00 1001000000 0: 576 / 8 + 128.
  const std::string grey = jpeg_bytes(1, "\x24\x07");
  check_same(read(grey), Picture{1, 8, 8, all({200})});
  check_same(read(jpeg_bytes(3, "\x24\x02\x5f")), Picture{3, 8, 8, all({200, 200, 200})});
  // Cr is 200 too: R = Y + 1.402 (Cr - 128), clipped; G = Y - 0.714136 (Cr - 128).
  check_same(read(jpeg_bytes(3, "\x24\x02\x24\x07")), Picture{3, 8, 8, all({255, 149, 200})});
  const TempDirectory folder;
  write_bytes(folder / "x.jpeg", grey);
  check_same(read_picture(folder / "x.jpeg"), Picture{1, 8, 8, all({200})});

  const auto message = [&](const std::string& bytes) { return message_of<DataError>([&] { read(bytes); }); };
  CHECK(missing(message(jpeg_bytes(4, "\x24\x07")), {"some/x.jpg", "neither grey nor in three colours"}) ==
        "");
  for (std::size_t size = 0; size < grey.size(); ++size) {
    CAPTURE(size);
    CHECK(missing(message(grey.substr(0, size)), {"cannot read the picture"}) == "");
  }
}

TEST_CASE("image file: a PNG file whose pixels are all opaque has no transparency to keep") {
  if (without_libpng()) return;
  const auto read = [](const std::string& bytes) { return decode_png(bytes, "some/x.png"); };
  check_same(read(png_bytes(2, 1, 8, 6, std::string("\0\1\2\3\xff\4\5\6\xff", 9))),
             Picture{3, 1, 2, {1, 2, 3, 4, 5, 6}});
  check_same(read(png_bytes(2, 1, 8, 4, std::string("\0\7\xff\x8\xff", 5))), Picture{1, 1, 2, {7, 8}});
  // A transparent colour that no pixel has.
  check_same(read(png_bytes(1, 1, 8, 0, std::string("\0\1", 2), png_chunk("tRNS", std::string("\0\2", 2)))),
             Picture{1, 1, 1, {1}});
  // One pixel that is not whole is one too many.
  CHECK_THROWS_AS(read(png_bytes(2, 1, 8, 6, std::string("\0\1\2\3\xff\4\5\6\xfe", 9))), DataError);
}

TEST_CASE("image file: PNG files that are refused say why") {
  if (without_libpng()) return;
  const auto message = [](const std::string& bytes) {
    return message_of<DataError>([&] { decode_png(bytes, "some/x.png"); });
  };
  CHECK(missing(message(png_bytes(1, 1, 16, 0, std::string("\0\1\2", 3))), {"'some/x.png'", "16 bits"}) ==
        "");
  CHECK(missing(message(png_bytes(1, 1, 8, 6, std::string("\0\1\2\3\4", 5))), {"transparency"}) == "");
  CHECK(missing(message(png_bytes(1, 1, 8, 4, std::string("\0\1\2", 3))), {"transparency"}) == "");
  CHECK(missing(
            message(png_bytes(1, 1, 8, 0, std::string("\0\1", 2), png_chunk("tRNS", std::string("\0\1", 2)))),
            {"transparency"}) == "");
  const std::string good = encode_png(picture(20, 20, 3));
  for (std::size_t bytes = 4; bytes < good.size(); bytes += 3) {
    CAPTURE(bytes);
    CHECK(missing(message(good.substr(0, bytes)), {"'some/x.png'"}) == "");
  }
  std::string flipped = good;
  flipped[good.size() / 2] = static_cast<char>(flipped[good.size() / 2] ^ 1);
  CHECK(missing(message(flipped), {"'some/x.png'", "IDAT"}) == "");
  // A small file that announces a large picture gets no memory for it.
  std::string large = png_bytes(1, 1, 8, 2, std::string("\0\1\2\3", 4));
  const std::string header = png_chunk("IHDR", std::string("\0\0\x20\0\0\0\x20\0\x08\2\0\0\0", 13));
  large.replace(8, header.size(), header);
  test::reset_largest_allocation();
  CHECK(missing(message(large), {"ends too early"}) == "");
  CHECK(test::largest_allocation() < 1u << 20);
}

TEST_CASE("image file: texts and profiles in a PNG file are passed over, however many and large they are") {
  if (without_libpng()) return;
  const std::string text(7 << 20, 'x');
  uLongf size = compressBound(text.size());
  std::string packed(size, '\0');
  compress(reinterpret_cast<Bytef*>(packed.data()), &size, reinterpret_cast<const Bytef*>(text.data()),
           text.size());
  packed.resize(size);
  std::string chunks;
  for (int i = 0; i < 100; ++i) {
    chunks += png_chunk("zTXt", std::string("key\0\0", 5) + packed);
    chunks += png_chunk("iTXt", std::string("key\0\1\0\0\0", 8) + packed);
    chunks += png_chunk("iCCP", std::string("name\0\0", 6) + packed);
  }
  struct rusage before {
  }, after{};
  ::getrusage(RUSAGE_SELF, &before);
  const Picture made = decode_png(png_bytes(2, 1, 8, 0, std::string("\0ab", 3), chunks), "x.png");
  ::getrusage(RUSAGE_SELF, &after);
  CHECK(made.pixels == std::vector<std::uint8_t>{'a', 'b'});
  CHECK(after.ru_maxrss - before.ru_maxrss < 100 << 10);  // KiB; they would take 1.4 GiB
}

TEST_CASE("image file: thousands of damaged pictures are read as valid or throw") {
  constexpr std::uint64_t kSeed = 31;
  std::mt19937_64 random(kSeed);
  const TempDirectory folder;
  const Picture made = picture(9, 7, 3);
  const std::string pnm = pnm_bytes(made), png = QMSE_DATA_TOOLS ? encode_png(made) : pnm;
  int valid = 0;
  constexpr int kRounds = 2000;
  for (int round = 0; round < kRounds; ++round) {
    INFO("seed " << kSeed << ", round " << round);
    write_bytes(folder / "p",
                round % 2 == 0 ? test::mutate(pnm, 26, random) : test::mutate(png, png.size(), random));
    test::reset_largest_allocation();
    try {
      const Picture read = read_picture(folder / "p");
      REQUIRE((read.channels == 1 || read.channels == 3));
      REQUIRE(read.pixels.size() == static_cast<std::size_t>(read.channels * read.height * read.width));
      ++valid;
    } catch (const Error& error) {
      REQUIRE(std::string(error.what()).find('\n') == std::string::npos);
    }
    REQUIRE(test::largest_allocation() <= 1u << 24);  // 24 * 1032 times the file
  }
  CHECK(valid > 20);
  CHECK(valid < kRounds / 2);
}

}  // namespace
}  // namespace qmse
