// The algorithms that plans have chosen, by what they were chosen for: one for all contexts that share it
// (CudaContext::shared()), so it is asked from several threads.
#pragma once

#include <mutex>
#include <utility>
#include <vector>

namespace qmse {

template <class Key, class Choice>
class SharedChoices {
 public:
  // The choice for `key`: an earlier one, or what choose() gives, while nobody else chooses. It is kept where
  // it is lasting(): memory that was short may be there the next time.
  template <class Choose>
  Choice get(const Key& key, const Choose& choose) {
    const std::lock_guard guard(mutex_);
    for (const auto& [known, choice] : known_) {
      if (known == key) return choice;
    }
    Choice made = choose();
    if (made.lasting()) known_.emplace_back(key, made);
    return made;
  }

 private:
  std::mutex mutex_;
  std::vector<std::pair<Key, Choice>> known_;
};

}  // namespace qmse
