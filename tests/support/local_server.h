// A web server on 127.0.0.1 that behaves as badly as a test asks it to.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace qmse::test {

struct Answer {
  int status = 200;
  std::string body = {};
  bool ranges = true;                   // whether it can begin in the middle
  std::size_t cut = std::string::npos;  // send no more of the body than this, and close
  bool stall = false;                   // instead of closing, send nothing until the client goes
  std::int64_t announced = -1;          // a Content-Length that is not true
  std::string location = {};            // of a redirection
};

struct Request {
  std::string target;      // as in the first line: a path, or an address where this is a proxy
  std::uint64_t from = 0;  // of the range asked for
};

class LocalServer {
 public:
  explicit LocalServer(std::function<Answer(const Request&)> answer) : answer_(std::move(answer)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    if (::bind(listener_, generic, size) != 0 || ::listen(listener_, 8) != 0 ||
        ::getsockname(listener_, generic, &size) != 0) {
      throw std::runtime_error("no local server");
    }
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ~LocalServer() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
  }
  LocalServer(const LocalServer&) = delete;
  LocalServer& operator=(const LocalServer&) = delete;

  std::string url(const std::string& path = "/") const {
    return "http://127.0.0.1:" + std::to_string(port_) + path;
  }
  std::vector<Request> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

 private:
  // One client after the other: each connection carries one request.
  void serve() {
    while (true) {
      const int client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (client < 0) return;
      reply(client);
      ::close(client);
    }
  }
  void reply(int client) {
    std::string text;
    char buffer[4096];
    while (text.find("\r\n\r\n") == std::string::npos) {
      const ssize_t got = ::recv(client, buffer, sizeof(buffer), 0);
      if (got <= 0) return;
      text.append(buffer, static_cast<std::size_t>(got));
    }
    Request request;
    const std::size_t begin = text.find(' ') + 1;
    request.target = text.substr(begin, text.find(' ', begin) - begin);
    if (const std::size_t range = text.find("Range: bytes="); range != std::string::npos)
      request.from = std::stoull(text.substr(range + 13));
    {
      const std::lock_guard lock(mutex_);
      requests_.push_back(request);
    }
    const Answer answer = answer_(request);
    std::string body = answer.body, head;
    int status = answer.status;
    if (status == 200 && answer.ranges && request.from > 0) {
      status = request.from < body.size() ? 206 : 416;
      head = "Content-Range: bytes " + std::to_string(request.from) + "-" + std::to_string(body.size() - 1) +
             "/" + std::to_string(body.size()) + "\r\n";
      body.erase(0, std::min<std::size_t>(request.from, body.size()));
    }
    if (!answer.location.empty()) head += "Location: " + answer.location + "\r\n";
    const std::size_t length =
        answer.announced >= 0 ? static_cast<std::size_t>(answer.announced) : body.size();
    send_all(client, "HTTP/1.1 " + std::to_string(status) + " x\r\nConnection: close\r\n" + head +
                         "Content-Length: " + std::to_string(length) + "\r\n\r\n" +
                         body.substr(0, answer.cut));
    while (answer.stall && ::recv(client, buffer, sizeof(buffer), 0) > 0) {
    }
  }
  static void send_all(int client, const std::string& bytes) {
    for (std::size_t done = 0; done < bytes.size();) {
      const ssize_t sent = ::send(client, bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
      if (sent <= 0) return;
      done += static_cast<std::size_t>(sent);
    }
  }

  std::function<Answer(const Request&)> answer_;
  int listener_ = -1;
  std::uint16_t port_ = 0;
  mutable std::mutex mutex_;
  std::vector<Request> requests_;
  std::thread thread_;
};

}  // namespace qmse::test
