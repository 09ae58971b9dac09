#include "data/known_content.h"

namespace qmse {
namespace {

// A copy of CIFAR-10 is about in which these 103 records, 97 ships and 6 horses, hold images that went
// through JPEG; all others, and all labels, are the official ones.
constexpr std::uint16_t kReencoded_data_batch_1[] = {4298, 5949, 7066, 7237, 7248,
                                                     7630, 8006, 8831, 8968, 9415};
constexpr std::uint16_t kReencoded_data_batch_2[] = {1027, 2762, 2834, 3546};
constexpr std::uint16_t kReencoded_data_batch_3[] = {1493, 5728, 6098, 6927, 7621,
                                                     8435, 8670, 8728, 9694, 9747};
constexpr std::uint16_t kReencoded_data_batch_4[] = {
    1367, 1462, 1625, 1663, 2777, 3446, 3641, 3661, 4067, 4276, 4387, 4471, 4825, 5160, 5646,
    6733, 7329, 7474, 7567, 8089, 8384, 8925, 9069, 9358, 9385, 9613, 9840, 9888, 9971};
constexpr std::uint16_t kReencoded_data_batch_5[] = {1761, 1779, 2004, 2389, 2611, 3357, 3883, 4420, 4882,
                                                     5168, 5240, 6175, 6435, 6538, 6624, 7393, 7597, 8081,
                                                     8124, 8333, 8821, 8836, 9321, 9429, 9631, 9830, 9857};
constexpr std::uint16_t kReencoded_test_batch[] = {1259, 1369, 1422, 1556, 2245, 2737, 2935, 3630,
                                                   3695, 3718, 4085, 4496, 5791, 5896, 6286, 7580,
                                                   7707, 7724, 7832, 8117, 8541, 8551, 9254};

using namespace content_checks;

// The SHA-256 of MNIST's files are of content with the published MD5s (6bbc9ace898e44ae57da46a324031adb for
// the training images), those of Fashion-MNIST of what Debian's dataset-fashion-mnist installs, those of
// CIFAR-10 and CIFAR-100 are the ones that the Ruby library torchvision-ruby checks its downloads by.
constexpr KnownFile kMnist[] = {
    {"train-images-idx3-ubyte", "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db", 47040016,
     16, 784, 100, mnist_train_images},
    {"train-labels-idx1-ubyte", "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5", 60008, 8,
     1, 1000, mnist_train_labels},
    {"t10k-images-idx3-ubyte", "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7", 7840016,
     16, 784, 100, mnist_t10k_images},
    {"t10k-labels-idx1-ubyte", "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2", 10008, 8,
     1, 1000, mnist_t10k_labels},
};
constexpr KnownFile kFashionMnist[] = {
    {"train-images-idx3-ubyte", "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888", 47040016,
     16, 784, 100, fashion_train_images},
    {"train-labels-idx1-ubyte", "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9", 60008, 8,
     1, 1000, fashion_train_labels},
    {"t10k-images-idx3-ubyte", "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b", 7840016,
     16, 784, 100, fashion_t10k_images},
    {"t10k-labels-idx1-ubyte", "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34", 10008, 8,
     1, 1000, fashion_t10k_labels},
};
constexpr KnownFile kCifar10[] = {
    {"data_batch_1.bin", "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5", 30730000, 0,
     3073, 100, cifar10_data_batch_1, kReencoded_data_batch_1,
     "0def081c410489f98b3935c2d405fc7436d23377894a5d6a710ce1fad8082588", "7a05b31d"},
    {"data_batch_2.bin", "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed", 30730000, 0,
     3073, 100, cifar10_data_batch_2, kReencoded_data_batch_2,
     "bfb92ecee3ace02fdb768866911a0123cb3cf369e071b18c8e1be79297a35a28", "07e7f458"},
    {"data_batch_3.bin", "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67", 30730000, 0,
     3073, 100, cifar10_data_batch_3, kReencoded_data_batch_3,
     "121076ec0d3c7be3f1a6e3e94430ab5bb10bdb03bdf439c59ec721c0c800071e", "302342f8"},
    {"data_batch_4.bin", "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48", 30730000, 0,
     3073, 100, cifar10_data_batch_4, kReencoded_data_batch_4,
     "0f72933f5cd31b5af809b4dc01a6426baaf3939305aa1d7d6515ba9ddb1d6840", "2320f2b2"},
    {"data_batch_5.bin", "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add", 30730000, 0,
     3073, 100, cifar10_data_batch_5, kReencoded_data_batch_5,
     "682b209e35d9768151f3289c0b3578b1a87cb95bbeb6488b39bf115a8af93fae", "515f9af0"},
    {"test_batch.bin", "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b", 30730000, 0, 3073,
     100, cifar10_test_batch, kReencoded_test_batch,
     "12b72019dddc66aa680d9654ddcc864aa808e6540641e0887054d04d415d6427", "151895f2"},
};
constexpr KnownFile kCifar100[] = {
    {"train.bin", "f31298fc616915fa142368359df1c4ca2ae984d6915ca468b998a5ec6aeebf29", 153700000, 0, 3074, 100,
     cifar100_train},
    {"test.bin", "d8b1e6b7b3bee4020055f0699b111f60b1af1e262aeb93a0b659061746f8224a", 30740000, 0, 3074, 100,
     cifar100_test},
};

constexpr KnownNames kCifar10Names[] = {{"batches.meta.txt", 0x8f05d45e}};
constexpr KnownNames kCifar100Names[] = {{"fine_label_names.txt", 0xa7a2e92d},
                                         {"coarse_label_names.txt", 0x6a71c458}};

constexpr KnownSet kSets[] = {
    {"mnist", kMnist},
    {"fashion-mnist", kFashionMnist},
    {"cifar10", kCifar10, "re-encoded JPEG images", kCifar10Names},
    {"cifar100", kCifar100, "", kCifar100Names},
};

}  // namespace

const KnownSet* find_known_set(std::string_view dataset) {
  for (const KnownSet& set : kSets) {
    if (dataset == set.dataset) return &set;
  }
  return nullptr;
}

}  // namespace qmse
