import { opfsCases } from '../../conformance/opfs-cases.ts';

/** The cases in a dedicated worker; the answer is their names, or what failed. */
self.onmessage = () => {
  opfsCases().then(
    (tried) => self.postMessage({ tried }),
    (error: Error) => self.postMessage({ failed: error.message }),
  );
};
