// Work off a step's critical path. Nothing waits for the gradient of a layer's weights before the optimizer,
// so it runs beside the gradients of the layers below, on the context's second stream, and in a branch of its
// own where the step is captured into a graph. What is calculated, and its bits, are the same.
#pragma once

namespace qmse {

class CudaContext;

// The time in which a context's work may branch. Not nested.
class Branches {
 public:
  explicit Branches(CudaContext* context);  // null, as on the CPU: nothing branches
  ~Branches();
  Branches(const Branches&) = delete;
  Branches& operator=(const Branches&) = delete;

  // What is queued from now on comes after all branches so far. To be called before the end, which joins too
  // but where that fails cannot say so.
  void join();

 private:
  CudaContext* context_;
};

// What is queued in its life comes after all that was queued before and runs beside what is queued after it,
// until Branches::join(): neither may write what the other uses, scratch included (Queue::aside), and cuDNN's
// handle is not for it. Several follow each other. Without a Branches it is queued like all else. Not nested.
class Aside {
 public:
  explicit Aside(CudaContext& context);
  ~Aside();
  Aside(const Aside&) = delete;
  Aside& operator=(const Aside&) = delete;

 private:
  CudaContext* context_;  // null where nothing may branch
};

}  // namespace qmse
