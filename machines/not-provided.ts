/** A placeholder for an implementation that the runtime gives by `provide()`; calling it is a wiring mistake. */
export const notProvided = (name: string) => (): never => {
  throw new Error(`machine implementation \`${name}\` was not provided`);
};
