/** Shell scripts that complete a command line, from what the commands say of themselves. */

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

/** What can be completed of a command. */
export interface Words {
  readonly name: string;
  readonly summary: string;
  readonly options: readonly {
    readonly name: string;
    readonly description: string;
    readonly choices: readonly string[];
    /** undefined: no value. */
    readonly takes: 'file' | 'value' | undefined;
  }[];
  /** Of its arguments; where there are none, they are files. */
  readonly choices: readonly string[];
}

export function scriptFor(shell: Shell, commands: readonly Words[]): string {
  return { bash, zsh, fish }[shell](commands);
}

/** For zsh and fish, whose strings end with it. */
const quoted = (text: string): string => text.replaceAll("'", `'\\''`);

const namesOf = (commands: readonly { readonly name: string }[]): string =>
  commands.map(({ name }) => name).join(' ');

function bash(commands: readonly Words[]): string {
  const values = commands.flatMap(({ name, options }) =>
    options.flatMap((option) => {
      const pattern = `    ${name}:${option.name})`;
      if (option.takes === undefined) return [];
      if (option.choices.length > 0) return [`${pattern} words='${option.choices.join(' ')}' ;;`];
      return [`${pattern} ${option.takes === 'file' ? 'files=1' : 'none=1'} ;;`];
    }),
  );
  const words = commands.map(({ name, options, choices }) => {
    const files = choices.length === 0 ? ' files=1' : '';
    const given = `options='${namesOf(options)}' words='${choices.join(' ')}'`;
    return `      ${name}) ${given}${files} ;;`;
  });
  return `# bash completion for multifd: source <(multifd completion bash)
_multifd() {
  local word=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD-1]} command=
  local options= words= files= none= at
  for ((at = 1; at < COMP_CWORD; at++)); do
    [[ \${COMP_WORDS[at]} == -* ]] || { command=\${COMP_WORDS[at]}; break; }
  done
  COMPREPLY=()
  case $command:$before in
${values.join('\n')}
    *)
      case $command in
      '') words='${namesOf(commands)} help' options='--help --version' ;;
      help) words='${namesOf(commands)}' ;;
${words.join('\n')}
      esac ;;
  esac
  [[ $none ]] && return
  if [[ $word == -* ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$word"))
  else
    [[ $words ]] && COMPREPLY=($(compgen -W "$words" -- "$word"))
    local IFS=$'\\n'
    [[ $files ]] && { compopt -o filenames 2>/dev/null; COMPREPLY+=($(compgen -f -- "$word")); }
  fi
}
complete -F _multifd multifd
`;
}

function zsh(commands: readonly Words[]): string {
  const escaped = (text: string): string => quoted(text.replace(/[[\]:\\]/g, '\\$&'));
  const cases = commands.map(({ name, options, choices }) => {
    const specs = options.map((option) => {
      const values = option.choices.length > 0 ? `(${option.choices.join(' ')})` : '';
      const action = option.takes === 'file' ? '_files' : values;
      const value = option.takes === undefined ? '' : `:value:${action}`;
      return `'*${option.name}[${escaped(option.description)}]${value}'`;
    });
    const rest = choices.length > 0 ? `'*:what:(${choices.join(' ')})'` : "'*:file:_files'";
    return `    ${name}) _arguments ${[...specs, rest].join(' \\\n      ')} ;;`;
  });
  const listed = commands.map(({ name, summary }) => `    '${name}:${escaped(summary)}'`);
  return `#compdef multifd
# zsh completion for multifd: source <(multifd completion zsh), after compinit
_multifd() {
  local -a commands=(
${listed.join('\n')}
  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  local command=$words[2]
  shift words
  (( CURRENT-- ))
  case $command in
${cases.join('\n')}
  esac
}
compdef _multifd multifd
`;
}

function fish(commands: readonly Words[]): string {
  const lines = commands.flatMap(({ name, summary, options, choices }) => {
    const within = `complete -c multifd -n '__fish_seen_subcommand_from ${name}'`;
    return [
      `complete -c multifd -n __fish_use_subcommand -f -a ${name} -d '${escapedForFish(summary)}'`,
      ...(choices.length > 0 ? [`${within} -f -a '${choices.join(' ')}'`] : []),
      ...options.map((option) => {
        const values = option.choices.length > 0 ? ` -a '${option.choices.join(' ')}'` : '';
        const takes = { file: ' -r -F', value: ` -x${values}` };
        const value = option.takes === undefined ? '' : takes[option.takes];
        const description = escapedForFish(option.description);
        return `${within} -l ${option.name.slice(2)}${value} -d '${description}'`;
      }),
    ];
  });
  return `# fish completion for multifd\n${lines.join('\n')}\n`;
}

const escapedForFish = (text: string): string => text.replace(/[\\']/g, '\\$&');
