/* The losses of qmse for other programs: values and gradients of rows of outputs, on the CPU and on an NVIDIA
 * GPU, with the random vectors v of qmse's own training, bit for bit. C99; libqmse_loss.so exports what is
 * declared here and nothing else.
 *
 * r = y - f for outputs f [B, c] and targets y, one-hot from labels or dense (docs/theory.md):
 *
 *   QMSE_LOSS_MSE            1/2 ||r||^2                      gradient with respect to f: -r
 *   QMSE_LOSS_QMSE           1/2 a^2, a = ||r||^2 + <v, r>    -a (r + v), or -a (2r + v) with QMSE_Q_FULL
 *   QMSE_LOSS_QMSE_EXPECTED  1/2 (||r||^4 + ||r||^2 / c)      -(||r||^2 + 1/c) r
 *   QMSE_LOSS_CROSS_ENTROPY  -sum y_i log softmax(f)_i        sum(y) softmax(f) - y
 *   QMSE_LOSS_MSE_NOISE      1/2 ||r||^2                      -(r + a (r + v) - (||r||^2 + 1/c) r)
 *
 * Functions return a qmse_status; after anything but QMSE_OK, qmse_last_error() says in one line what is
 * wrong. They keep no state between calls, start no thread that outlives a call, and may be called from any
 * number of threads and after fork(). */
#ifndef QMSE_LOSS_H
#define QMSE_LOSS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Grows with every addition; what is there keeps its meaning. 2: QMSE_LOSS_MSE_NOISE. */
#define QMSE_ABI_VERSION 2

#if defined(__GNUC__)
#define QMSE_API __attribute__((visibility("default")))
#else
#define QMSE_API
#endif

typedef enum qmse_status {
  QMSE_OK = 0,
  QMSE_ERROR_SHAPE = 1,         /* sizes, or pointers that are missing */
  QMSE_ERROR_CONFIGURATION = 2, /* a choice that there is not, or that does not go with another */
  QMSE_ERROR_CUDA = 3,          /* the CUDA runtime refused, or the library was built without CUDA */
  QMSE_ERROR_MEMORY = 4,
  QMSE_ERROR_RANGE = 5 /* a label or a sample id; on the CPU alone */
} qmse_status;

typedef enum qmse_loss_kind {
  QMSE_LOSS_MSE = 0,
  QMSE_LOSS_QMSE = 1,
  QMSE_LOSS_QMSE_EXPECTED = 2,
  QMSE_LOSS_CROSS_ENTROPY = 3,
  QMSE_LOSS_MSE_NOISE = 4 /* MSE with the noise of QMSE */
} qmse_loss_kind;

typedef enum qmse_dtype {
  QMSE_FLOAT32 = 0,
  QMSE_FLOAT64 = 1, /* outputs, targets and results: on the CPU alone */
  QMSE_INT32 = 2,
  QMSE_INT64 = 3
} qmse_dtype;

typedef enum qmse_v_distribution { QMSE_V_SPHERE = 0, QMSE_V_RADEMACHER = 1 } qmse_v_distribution;
typedef enum qmse_v_scope { QMSE_V_PER_SAMPLE = 0, QMSE_V_PER_BATCH = 1 } qmse_v_scope;
typedef enum qmse_q_gradient { QMSE_Q_CONSTANT = 0, QMSE_Q_FULL = 1 } qmse_q_gradient;

/* One batch. Set all of it to zero, then `size`, then what is wanted. New fields come at the end, zero
 * meaning what was done before there was the field. Matrices are row-major and contiguous. */
typedef struct qmse_loss_args {
  uint64_t size; /* sizeof(qmse_loss_args) as the caller was compiled */

  int32_t loss;    /* qmse_loss_kind */
  int32_t dtype;   /* of outputs, targets and results: QMSE_FLOAT32 or QMSE_FLOAT64 */
  int64_t batch;   /* B >= 0 */
  int64_t classes; /* 1 <= c <= 2^30 */

  const void* outputs; /* f [B, c] */
  const void* labels;  /* [B], each in [0, c); exactly one of labels and targets, unless B is 0 */
  const void* targets; /* y [B, c] */
  int32_t label_dtype; /* QMSE_INT32 or QMSE_INT64; looked at where there are labels */

  /* QMSE and MSE_NOISE alone. v is a function of seed, step and the sample's id. */
  int32_t sample_id_dtype; /* QMSE_INT32 or QMSE_INT64; looked at where there are sample_ids */
  const void* sample_ids;  /* [B], each in [0, 2^32 - 1): indices in the data set; NULL: 0 .. B-1 */
  const uint64_t* step;    /* one number, of which the low 32 bits count; a pointer, so that a replayed CUDA
                              graph sees it change */
  uint64_t seed;
  int32_t v_distribution; /* qmse_v_distribution */
  int32_t v_scope;        /* qmse_v_scope */
  int32_t q_gradient;     /* qmse_q_gradient; QMSE alone */

  int32_t threads; /* CPU: how many may work on a large batch; 0 and 1: the caller's alone. Changes no bit. */

  double loss_scale;     /* sample_loss and mean_loss are reported times this */
  double gradient_scale; /* gradient is that of every sample's loss times this: loss_scale / B for the mean */

  /* Results, each NULL where it is not wanted. */
  void* sample_loss; /* [B] */
  void* mean_loss;   /* one number: the mean of sample_loss, summed in f64; NaN where B is 0 */
  void* gradient;    /* [B, c] with respect to f */
  void* residual_sq; /* [B] ||r||^2 (cross-entropy: of y - softmax(f)) */
  int32_t* correct;  /* [B] 1 where the first largest output is the label (or the first largest target) */
  void* v;           /* [B, c] QMSE and MSE_NOISE alone */

  /* CUDA: qmse_loss_workspace_bytes() of device memory, aligned to 16 bytes, contents undefined. */
  void* workspace;
  uint64_t workspace_bytes;
} qmse_loss_args;

/* QMSE_ABI_VERSION of the library. */
QMSE_API uint32_t qmse_abi_version(void);

/* Why the last call in this thread failed; "" where none has. Valid until the next call in this thread. */
QMSE_API const char* qmse_last_error(void);

/* 1 where the library was built with CUDA. Asks no driver. */
QMSE_API int32_t qmse_built_with_cuda(void);

/* Pointers are to host memory. A label or sample id out of range is QMSE_ERROR_RANGE, before anything is
 * written. */
QMSE_API int32_t qmse_loss_cpu(const qmse_loss_args* args);

/* Queues the work on `stream` (a cudaStream_t; NULL is the default stream) of CUDA device `device` (-1: the
 * thread's current one), to whose memory all pointers of `args` point. Allocates nothing and does not wait
 * for the device, so that it may be captured into a graph, after one call outside of it that loads the code.
 * A label or sample id out of range gives a loss of NaN, and zeros as the gradient, for its row; so the mean
 * is NaN. */
QMSE_API int32_t qmse_loss_cuda(const qmse_loss_args* args, int32_t device, void* stream);

/* Writes to `bytes` what qmse_loss_cuda() needs as workspace for `args`. */
QMSE_API int32_t qmse_loss_workspace_bytes(const qmse_loss_args* args, uint64_t* bytes);

/* Writes v [count, classes] (f32, host memory) for sample ids [count], or 0 .. count-1 where sample_ids is
 * NULL. */
QMSE_API int32_t qmse_draw_direction(int32_t v_distribution, uint64_t seed, uint64_t step,
                                     const int64_t* sample_ids, int64_t count, int64_t classes, float* v);

/* Writes the order in which a training with this seed goes through `count` samples in an epoch, counted from
 * 0: a permutation of 0 .. count-1. */
QMSE_API int32_t qmse_epoch_order(uint64_t seed, uint32_t epoch, int64_t count, uint32_t* order);

#ifdef __cplusplus
}
#endif

#endif
