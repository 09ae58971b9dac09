#include "experiment/run/epoch_record.h"

namespace qmse {

Json to_json(const EpochRecord& record) {
  Json json;
  json["epoch"] = record.epoch;
  json["step"] = record.step;
  json["lr"] = record.lr;
  json["train_loss"] = record.train_loss;
  json["train_residual_sq"] = record.train_residual_sq;
  json["train_accuracy"] = record.train_accuracy;
  json["test_loss"] = record.test_loss;
  json["test_residual_sq"] = record.test_residual_sq;
  json["test_accuracy"] = record.test_accuracy;
  json["grad_norm"] = record.grad_norm;
  json["seconds"] = record.seconds;
  json["images_per_second"] = record.images_per_second;
  if (record.train_accuracy_full) json["train_accuracy_full"] = *record.train_accuracy_full;
  json["weights_sha256"] = record.weights_sha256;
  return json;
}

}  // namespace qmse
