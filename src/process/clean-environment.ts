/** The variables of a process, or a stand-in for them. */
export type ProcessEnvironment = Readonly<Record<string, string | undefined>>;

const SECRET = /KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL/i;

/** The variables that a command may see: all but those whose names say that they hold secrets. */
export function withoutSecrets(environment: ProcessEnvironment): Record<string, string> {
  const clean: Record<string, string> = {};
  for (const [name, value] of Object.entries(environment)) {
    if (value !== undefined && !SECRET.test(name)) clean[name] = value;
  }
  return clean;
}

/** What a server that is not ours inherits: enough to find its programs and its user's home. */
const FEW = ["HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER"];

/** The few common variables, and those that are named. */
export function fewVariables(environment: ProcessEnvironment, names: readonly string[] = []): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const name of [...FEW, ...names]) {
    const value = environment[name];
    if (value !== undefined) kept[name] = value;
  }
  return kept;
}
