#include "apps/manual.h"

#include <algorithm>
#include <functional>

#include "base/build_config.h"
#include "base/words.h"

namespace qmse::app {
namespace {

// Calls `visit` with each command that has options, and the words behind the program's name: "data fetch".
void each_command(const Command& group, const std::string& path,
                  const std::function<void(const Command&, const std::string&)>& visit) {
  for (const Command& command : group.commands) {
    const std::string words = path.empty() ? command.name : path + " " + command.name;
    if (command.commands.empty()) {
      visit(command, words);
    } else {
      each_command(command, words, visit);
    }
  }
}

// As it stands: no request, no escape.
std::string troff(const std::string& text) {
  std::string escaped;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool first = i == 0 || text[i - 1] == '\n';
    if (first && (text[i] == '.' || text[i] == '\'')) escaped += "\\&";
    if (text[i] == '\\') {
      escaped += "\\e";
    } else if (text[i] == '-') {
      escaped += "\\-";
    } else {
      escaped += text[i];
    }
  }
  return escaped;
}

std::string on_one_line(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

std::string as_it_stands(const std::string& text) { return ".nf\n" + troff(text) + "\n.fi\n"; }

// "mse|qmse" -> "mse qmse"; empty for what is no list of choices, as FILE or train|trace|FILE.
std::string choices_of(std::string placeholder) {
  if (placeholder.find('|') == std::string::npos ||
      placeholder.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_-|") != std::string::npos)
    return "";
  std::replace(placeholder.begin(), placeholder.end(), '|', ' ');
  return placeholder;
}

}  // namespace

std::string man_page(const Command& program) {
  std::string page = ".TH QMSE 1 \"\" \"qmse " + troff(QMSE_VERSION) + "\"\n.SH NAME\nqmse \\- " +
                     troff(program.summary) + "\n.SH SYNOPSIS\n.B qmse\n.I COMMAND\n[options]\n" +
                     ".SH DESCRIPTION\n" + as_it_stands(program.footer) + ".SH COMMANDS\n";
  each_command(program, "", [&](const Command& command, const std::string& words) {
    page += ".SS qmse " + troff(words) + "\n" + troff(command.summary) + "\n";
    for (const CLI::Option* option : command.parser->get_options()) {
      const std::string value = option->nonpositional() ? option->get_type_name() : "";
      page += ".TP\n\\fB" + troff(option->get_name()) + "\\fR" +
              (value.empty() ? "" : " \\fI" + troff(value) + "\\fR") + "\n" +
              troff(on_one_line(option->get_description())) + "\n";
    }
    if (const std::string footer = command.parser->get_footer(); !footer.empty())
      page += ".PP\n" + as_it_stands(footer);
  });
  return page + ".SH EXIT STATUS\n0: done; 1: failure; 2: wrong usage; 128 + N: stopped by signal N.\n";
}

std::string bash_completion(const Command& program) {
  std::string words, values, two_words;
  const std::function<void(const Command&, const std::string&)> add_groups = [&](const Command& group,
                                                                                 const std::string& path) {
    const std::string names = join(names_of(group.commands), " ");
    for (const Command& command : group.commands) {
      if (!command.commands.empty())
        add_groups(command, path.empty() ? command.name : path + " " + command.name);
    }
    words += "    \"" + path + "\") words=\"" + names + (path.empty() ? " help version" : "") + "\" ;;\n";
  };
  add_groups(program, "");
  each_command(program, "", [&](const Command& command, const std::string& path) {
    if (path.find(' ') != std::string::npos) two_words += (two_words.empty() ? "\"" : " | \"") + path + "\"";
    std::string names;
    for (const CLI::Option* option : command.parser->get_options()) {
      if (!option->nonpositional()) continue;
      names += (names.empty() ? "" : " ") + option->get_name();
      const std::string choices = choices_of(option->get_type_name());
      if (!choices.empty())
        values += "    \"" + path + " " + option->get_name() + "\") values=\"" + choices + "\" ;;\n";
    }
    words += "    \"" + path + "\") words=\"" + names + "\" ;;\n";
  });
  return "# Completion of qmse for bash: source this file.\n"
         "_qmse() {\n"
         "  local current=\"${COMP_WORDS[COMP_CWORD]}\" before=\"${COMP_WORDS[COMP_CWORD - 1]}\"\n"
         "  local given=(\"${COMP_WORDS[@]:1:COMP_CWORD - 1}\") words=\"\" values=\"\"\n"
         "  [[ \"${given[0]}\" == help ]] && given=(\"${given[@]:1}\")\n"
         "  local path=\"${given[0]}\"\n"
         "  case \"${given[0]} ${given[1]}\" in\n    " +
         two_words + ") path=\"${given[0]} ${given[1]}\" ;;\n  esac\n" + "  case \"$path\" in\n" + words +
         "  esac\n"
         "  case \"$path $before\" in\n" +
         values +
         "  esac\n"
         "  if [[ -n \"$values\" ]]; then\n"
         "    COMPREPLY=($(compgen -W \"$values\" -- \"$current\"))\n"
         "  elif [[ \"$current\" == -* || \"$words\" != -* ]]; then\n"
         "    COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
         "  else\n"
         "    COMPREPLY=($(compgen -f -- \"$current\"))\n"
         "  fi\n"
         "}\n"
         "complete -o filenames -F _qmse qmse\n";
}

}  // namespace qmse::app
