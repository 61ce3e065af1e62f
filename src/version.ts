/** Kept equal to package.json's by a test. */
export const VERSION = "0.1.0";

/** The Codex whose protocol is spoken. Clients compare it with what they need, and the TUI with itself. */
export const CODEX_VERSION = "0.169.0";
