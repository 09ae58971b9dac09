// Reads kernel sources as text: which kernels there are, where they are launched, and what leaves the subset.
#pragma once

#include <string>
#include <vector>

namespace qmse::simt {

// The text with comments and the contents of string literals replaced by blanks; line breaks stay.
std::string without_comments(const std::string& text);

// For texts without comments. Names of `__global__` functions, without template arguments.
std::vector<std::string> global_functions(const std::string& text);

// The arguments of every QMSE_KERNEL(...), with white space as the preprocessor's # operator leaves it.
std::vector<std::string> launched_kernels(const std::string& text);

// What kernel sources must not contain, one message each: `<<<` launches and shared memory that is not
// a SharedArray.
std::vector<std::string> subset_violations(const std::string& text);

// "qmse::loss_kernel<Mse, 4>" is "loss_kernel".
std::string base_name(const std::string& kernel);

}  // namespace qmse::simt
