// SHA-256 over tensors: equal digests are equal bits.
//
// Hashed is, for each tensor in the order of the names' bytes, the line "name f32 [32,1,3,3]\n" and then its
// elements as they stand in a safetensors file. The file's metadata and the order of its tensors do not
// count: they may change with the program that wrote it, where the weights do not.
#pragma once

#include <filesystem>
#include <span>
#include <string>

#include "engine/parameters.h"
#include "engine/safetensors.h"

namespace qmse {

// 64 hexadecimal digits.
std::string tensors_sha256(std::span<const TensorToWrite> tensors);

// Of a safetensors file. IoError, DataError as SafetensorsFile.
std::string tensors_sha256(const std::filesystem::path& file);
// Of one tensor of a file, its line included.
std::string tensor_sha256(const SafetensorsFile& file, const std::string& name);

// Of the weights: what tensors_sha256() says of the file that write_weights() makes. `store` has dtype f32.
std::string weights_sha256(const ParameterStore& store);
// The same of a weights file, or of a checkpoint without what else it holds.
std::string weights_sha256(const SafetensorsFile& file);

}  // namespace qmse
