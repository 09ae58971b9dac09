#include "tests/simt/kernel_sources.h"

#include <algorithm>
#include <cctype>
#include <cstddef>

namespace qmse::simt {
namespace {

bool is_identifier(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

bool is_space(char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; }

std::size_t skip_space(const std::string& text, std::size_t at) {
  while (at < text.size() && is_space(text[at])) ++at;
  return std::min(at, text.size());
}

// The position behind the parenthesis that closes the one at `open`.
std::size_t behind_parentheses(const std::string& text, std::size_t open) {
  int depth = 0;
  for (std::size_t at = open; at < text.size(); ++at) {
    if (text[at] == '(') ++depth;
    if (text[at] == ')' && --depth == 0) return at + 1;
  }
  return text.size();
}

// Positions behind every occurrence of `word` as a whole identifier.
std::vector<std::size_t> behind_each(const std::string& text, const std::string& word) {
  std::vector<std::size_t> found;
  for (std::size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) {
    const std::size_t end = at + word.size();
    if ((at == 0 || !is_identifier(text[at - 1])) && (end == text.size() || !is_identifier(text[end]))) {
      found.push_back(end);
    }
  }
  return found;
}

int line_of(const std::string& text, std::size_t at) {
  return 1 + static_cast<int>(std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n'));
}

}  // namespace

std::string without_comments(const std::string& text) {
  std::string result = text;
  const auto blank = [&](std::size_t begin, std::size_t end) {
    for (std::size_t at = begin; at < std::min(end, result.size()); ++at) {
      if (result[at] != '\n') result[at] = ' ';
    }
  };
  for (std::size_t at = 0; at < text.size(); ++at) {
    std::size_t end = at;
    if (text.compare(at, 2, "//") == 0) {
      end = std::min(text.find('\n', at), text.size());
      blank(at, end);
    } else if (text.compare(at, 2, "/*") == 0) {
      end = std::min(text.find("*/", at + 2), text.size() - 2) + 2;
      blank(at, end);
    } else if (text[at] == '"' || (text[at] == '\'' && (at == 0 || !is_identifier(text[at - 1])))) {
      for (end = at + 1; end < text.size() && text[end] != text[at]; ++end) {
        if (text[end] == '\\') ++end;
      }
      blank(at + 1, end);
      ++end;
    }
    if (end > at) at = end - 1;
  }
  return result;
}

std::vector<std::string> global_functions(const std::string& text) {
  std::vector<std::string> names;
  for (std::size_t at : behind_each(text, "__global__")) {
    while (true) {
      const std::size_t open = text.find('(', at);
      if (open == std::string::npos) break;
      const std::string name = base_name(text.substr(at, open - at));
      if (name.compare(0, 2, "__") != 0) {
        names.push_back(name);
        break;
      }
      at = behind_parentheses(text, open);  // __launch_bounds__(...) and the like
    }
  }
  return names;
}

std::vector<std::string> launched_kernels(const std::string& text) {
  std::vector<std::string> kernels;
  for (const std::size_t at : behind_each(text, "QMSE_KERNEL")) {
    const std::size_t open = skip_space(text, at);
    if (text.compare(open, 1, "(") != 0) continue;
    const std::string arguments = text.substr(open + 1, behind_parentheses(text, open) - open - 2);
    std::string kernel;
    for (const char c : arguments) {
      if (!is_space(c)) kernel += c;
      if (is_space(c) && !kernel.empty() && kernel.back() != ' ') kernel += ' ';
    }
    if (!kernel.empty() && kernel.back() == ' ') kernel.pop_back();
    kernels.push_back(kernel);
  }
  return kernels;
}

std::vector<std::string> subset_violations(const std::string& text) {
  std::vector<std::string> messages;
  for (std::size_t at = text.find("<<<"); at != std::string::npos; at = text.find("<<<", at + 3)) {
    messages.push_back("line " + std::to_string(line_of(text, at)) + ": <<<>>> instead of a launcher");
  }
  for (const std::size_t at : behind_each(text, "__shared__")) {
    std::size_t type = skip_space(text, at);
    if (text.compare(type, 6, "qmse::") == 0) type += 6;
    const std::size_t end = type + std::string("SharedArray").size();
    if (text.compare(type, end - type, "SharedArray") != 0 ||
        text.compare(skip_space(text, end), 1, "<") != 0) {
      messages.push_back("line " + std::to_string(line_of(text, at)) +
                         ": __shared__ memory that is neither a SharedArray nor dynamic_shared()");
    }
  }
  return messages;
}

std::string base_name(const std::string& kernel) {
  std::size_t end = kernel.find_last_not_of(" \n\t&") + 1;
  if (end > 0 && kernel[end - 1] == '>') {
    int depth = 0;
    do {
      --end;
      if (kernel[end] == '>') ++depth;
      if (kernel[end] == '<') --depth;
    } while (end > 0 && depth > 0);
    end = kernel.find_last_not_of(" \n\t", end - 1) + 1;
  }
  std::size_t begin = end;
  while (begin > 0 && is_identifier(kernel[begin - 1])) --begin;
  return kernel.substr(begin, end - begin);
}

}  // namespace qmse::simt
