// The exceptions qmse throws. Every message names the file, the field or the shapes, and what to do.
// C++17: included by device code.
#pragma once

#include <stdexcept>
#include <string>

namespace qmse {

// Base of everything the library throws on purpose.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class ShapeError : public Error {  // tensors or layers whose sizes do not fit together
 public:
  using Error::Error;
};

class ConfigError : public Error {  // an option or a configuration value that cannot be used
 public:
  using Error::Error;
};

class DataError : public Error {  // a data set or a weights file whose content is wrong
 public:
  using Error::Error;
};

class IoError : public Error {  // the operating system refused to read or write
 public:
  using Error::Error;
};

class OutOfMemory : public Error {  // names the request, who made it and what is free
 public:
  using Error::Error;
};

class CudaError : public Error {  // a CUDA, cuBLAS or cuDNN call failed; names call, file and line
 public:
  using Error::Error;
};

class NumericError : public Error {  // a loss or an activation is not finite
 public:
  using Error::Error;
};

}  // namespace qmse
