/* libqmse_loss as a C99 program sees it: the struct's layout, which never changes, values by hand, errors. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "capi/qmse_loss.h"

static int failures = 0;

#define CHECK(condition)                                                                 \
  do {                                                                                   \
    if (!(condition)) {                                                                  \
      printf("line %d: %s (last error: %s)\n", __LINE__, #condition, qmse_last_error()); \
      ++failures;                                                                        \
    }                                                                                    \
  } while (0)

/* What callers were compiled with: fields are added behind these, and none of them moves. */
static void layout(void) {
  CHECK(sizeof(qmse_loss_args) == 184);
  CHECK(offsetof(qmse_loss_args, size) == 0);
  CHECK(offsetof(qmse_loss_args, loss) == 8);
  CHECK(offsetof(qmse_loss_args, dtype) == 12);
  CHECK(offsetof(qmse_loss_args, batch) == 16);
  CHECK(offsetof(qmse_loss_args, classes) == 24);
  CHECK(offsetof(qmse_loss_args, outputs) == 32);
  CHECK(offsetof(qmse_loss_args, labels) == 40);
  CHECK(offsetof(qmse_loss_args, targets) == 48);
  CHECK(offsetof(qmse_loss_args, label_dtype) == 56);
  CHECK(offsetof(qmse_loss_args, sample_id_dtype) == 60);
  CHECK(offsetof(qmse_loss_args, sample_ids) == 64);
  CHECK(offsetof(qmse_loss_args, step) == 72);
  CHECK(offsetof(qmse_loss_args, seed) == 80);
  CHECK(offsetof(qmse_loss_args, v_distribution) == 88);
  CHECK(offsetof(qmse_loss_args, v_scope) == 92);
  CHECK(offsetof(qmse_loss_args, q_gradient) == 96);
  CHECK(offsetof(qmse_loss_args, threads) == 100);
  CHECK(offsetof(qmse_loss_args, loss_scale) == 104);
  CHECK(offsetof(qmse_loss_args, gradient_scale) == 112);
  CHECK(offsetof(qmse_loss_args, sample_loss) == 120);
  CHECK(offsetof(qmse_loss_args, mean_loss) == 128);
  CHECK(offsetof(qmse_loss_args, gradient) == 136);
  CHECK(offsetof(qmse_loss_args, residual_sq) == 144);
  CHECK(offsetof(qmse_loss_args, correct) == 152);
  CHECK(offsetof(qmse_loss_args, v) == 160);
  CHECK(offsetof(qmse_loss_args, workspace) == 168);
  CHECK(offsetof(qmse_loss_args, workspace_bytes) == 176);
  CHECK(qmse_abi_version() == QMSE_ABI_VERSION);
}

static const double outputs[6] = {0.5, 0.25, 0.0, -1.0, 2.0, 0.5};
static const int64_t labels[2] = {0, 2};

static qmse_loss_args two_rows(int32_t loss) {
  qmse_loss_args args;
  memset(&args, 0, sizeof(args));
  args.size = sizeof(args);
  args.loss = loss;
  args.dtype = QMSE_FLOAT64;
  args.batch = 2;
  args.classes = 3;
  args.outputs = outputs;
  args.labels = labels;
  args.label_dtype = QMSE_INT64;
  args.loss_scale = 1;
  args.gradient_scale = 1;
  return args;
}

/* r = (0.5, -0.25, 0) and (1, -2, 0.5); squares 0.3125 and 5.25. */
static void mse(void) {
  double sample_loss[2], residual_sq[2], gradient[6], mean;
  int32_t correct[2];
  qmse_loss_args args = two_rows(QMSE_LOSS_MSE);
  args.sample_loss = sample_loss;
  args.residual_sq = residual_sq;
  args.gradient = gradient;
  args.mean_loss = &mean;
  args.correct = correct;
  args.loss_scale = 4;
  args.gradient_scale = 2;
  CHECK(qmse_loss_cpu(&args) == QMSE_OK);
  CHECK(sample_loss[0] == 0.625 && sample_loss[1] == 10.5);
  CHECK(mean == 5.5625);
  CHECK(residual_sq[0] == 0.3125 && residual_sq[1] == 5.25);
  CHECK(gradient[0] == -1 && gradient[1] == 0.5 && gradient[2] == 0);
  CHECK(gradient[3] == -2 && gradient[4] == 4 && gradient[5] == -1);
  CHECK(correct[0] == 1 && correct[1] == 0);
}

static void qmse(void) {
  float drawn[6];
  double v[6], sample_loss[2], gradient[6];
  const uint64_t step = 41;
  const int64_t ids[2] = {7, 4294967294};
  int row, i;
  qmse_loss_args args = two_rows(QMSE_LOSS_QMSE);
  args.step = &step;
  args.seed = UINT64_MAX;
  args.sample_ids = ids;
  args.sample_id_dtype = QMSE_INT64;
  args.v = v;
  args.sample_loss = sample_loss;
  args.gradient = gradient;
  CHECK(qmse_loss_cpu(&args) == QMSE_OK);
  CHECK(qmse_draw_direction(QMSE_V_SPHERE, UINT64_MAX, step, ids, 2, 3, drawn) == QMSE_OK);
  for (row = 0; row < 2; ++row) {
    double a = 0, length = 0;
    for (i = 0; i < 3; ++i) {
      const double r = (i == labels[row]) - outputs[3 * row + i];
      CHECK(v[3 * row + i] == drawn[3 * row + i]);
      a += (r + v[3 * row + i]) * r;
      length += v[3 * row + i] * v[3 * row + i];
    }
    CHECK(fabs(length - 1) < 1e-6);
    CHECK(fabs(sample_loss[row] - a * a / 2) < 1e-12);
    for (i = 0; i < 3; ++i) {
      const double r = (i == labels[row]) - outputs[3 * row + i];
      CHECK(fabs(gradient[3 * row + i] + a * (r + v[3 * row + i])) < 1e-12);
    }
  }
  args.threads = 2; /* no bit changes, whether or not the batch is large enough for two */
  args.sample_ids = NULL;
  CHECK(qmse_loss_cpu(&args) == QMSE_OK);
  CHECK(qmse_draw_direction(QMSE_V_SPHERE, UINT64_MAX, step, NULL, 2, 3, drawn) == QMSE_OK);
  for (i = 0; i < 6; ++i) CHECK(v[i] == drawn[i]);
}

/* MSE's value, and its gradient less the noise Qr - (||r||^2 + 1/3) r. */
static void mse_noise(void) {
  double v[6], sample_loss[2], gradient[6];
  const uint64_t step = 41;
  int row, i;
  qmse_loss_args args = two_rows(QMSE_LOSS_MSE_NOISE);
  args.step = &step;
  args.seed = 5;
  args.v = v;
  args.sample_loss = sample_loss;
  args.gradient = gradient;
  CHECK(qmse_loss_cpu(&args) == QMSE_OK);
  for (row = 0; row < 2; ++row) {
    double a = 0, squares = 0;
    for (i = 0; i < 3; ++i) {
      const double r = (i == labels[row]) - outputs[3 * row + i];
      squares += r * r;
      a += (r + v[3 * row + i]) * r;
    }
    CHECK(fabs(sample_loss[row] - squares / 2) < 1e-12);
    for (i = 0; i < 3; ++i) {
      const double r = (i == labels[row]) - outputs[3 * row + i];
      const double noise = a * (r + v[3 * row + i]) - (squares + 1.0 / 3) * r;
      CHECK(fabs(gradient[3 * row + i] + r + noise) < 1e-12);
    }
  }
  args.step = NULL;
  CHECK(qmse_loss_cpu(&args) == QMSE_ERROR_SHAPE);
}

static void order(void) {
  uint32_t places[100], seen[100] = {0};
  int i;
  CHECK(qmse_epoch_order(5, 3, 100, places) == QMSE_OK);
  for (i = 0; i < 100; ++i) seen[places[i]] += 1;
  for (i = 0; i < 100; ++i) CHECK(seen[i] == 1);
}

static void empty(void) {
  double mean = 0;
  qmse_loss_args args = two_rows(QMSE_LOSS_MSE);
  args.batch = 0;
  args.outputs = NULL;
  args.labels = NULL;
  args.mean_loss = &mean;
  CHECK(qmse_loss_cpu(&args) == QMSE_OK);
  CHECK(isnan(mean));
}

static void errors(void) {
  struct {
    qmse_loss_args args;
    uint64_t newer;
  } larger;
  double sample_loss[2] = {-7, -7};
  const int64_t outside[2] = {0, 3};
  const int32_t negative[2] = {0, -1};
  qmse_loss_args args = two_rows(QMSE_LOSS_MSE);
  args.sample_loss = sample_loss;
  args.labels = outside;
  CHECK(qmse_loss_cpu(&args) == QMSE_ERROR_RANGE);
  CHECK(strcmp(qmse_last_error(), "labels[1] is 3, must be 0 to 2") == 0);
  args.labels = negative;
  args.label_dtype = QMSE_INT32;
  CHECK(qmse_loss_cpu(&args) == QMSE_ERROR_RANGE);
  CHECK(strstr(qmse_last_error(), "labels[1] is -1") != NULL);
  CHECK(sample_loss[0] == -7 && sample_loss[1] == -7);

  CHECK(qmse_loss_cpu(NULL) == QMSE_ERROR_SHAPE);
  args = two_rows(QMSE_LOSS_MSE);
  args.classes = 0;
  CHECK(qmse_loss_cpu(&args) == QMSE_ERROR_SHAPE);
  args = two_rows(QMSE_LOSS_MSE);
  args.targets = outputs;
  CHECK(qmse_loss_cpu(&args) == QMSE_ERROR_SHAPE);
  args = two_rows(QMSE_LOSS_QMSE);
  CHECK(qmse_loss_cpu(&args) == QMSE_ERROR_SHAPE); /* no step */
  args = two_rows(5);
  CHECK(qmse_loss_cpu(&args) == QMSE_ERROR_CONFIGURATION);
  args = two_rows(QMSE_LOSS_MSE);
  args.label_dtype = QMSE_FLOAT32;
  CHECK(qmse_loss_cpu(&args) == QMSE_ERROR_CONFIGURATION);
  args = two_rows(QMSE_LOSS_MSE);
  args.gradient_scale = NAN;
  CHECK(qmse_loss_cpu(&args) == QMSE_ERROR_CONFIGURATION);

  /* Callers of other versions: older ones are refused while there is no older version, and of newer ones
   * those that use what this library does not know. */
  args = two_rows(QMSE_LOSS_MSE);
  args.size -= 8;
  CHECK(qmse_loss_cpu(&args) == QMSE_ERROR_CONFIGURATION);
  larger.args = two_rows(QMSE_LOSS_MSE);
  larger.args.size = sizeof(larger);
  larger.newer = 0;
  CHECK(qmse_loss_cpu(&larger.args) == QMSE_OK);
  larger.newer = 1;
  CHECK(qmse_loss_cpu(&larger.args) == QMSE_ERROR_CONFIGURATION);

  args = two_rows(QMSE_LOSS_MSE);
  args.dtype = QMSE_FLOAT32;
  if (qmse_built_with_cuda() == 0) {
    CHECK(qmse_loss_cuda(&args, 0, NULL) == QMSE_ERROR_CUDA);
    CHECK(strstr(qmse_last_error(), "without CUDA") != NULL);
  }
}

int main(void) {
  layout();
  mse();
  qmse();
  mse_noise();
  order();
  empty();
  errors();
  printf("%d failures\n", failures);
  return failures == 0 ? 0 : 1;
}
