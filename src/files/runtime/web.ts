import type * as node from './node.ts';
import { unsupported } from '../../util/runtime.ts';

export const readAt: typeof node.readAt = () => unsupported('files');
export const READS_ASIDE: typeof node.READS_ASIDE = false;
export const readAside: typeof node.readAside = () => unsupported('files');
export const writeAt: typeof node.writeAt = () => unsupported('files');
export const openFile: typeof node.openFile = async () => unsupported('files');
export const DESCRIPTORS_CROSS_THREADS: typeof node.DESCRIPTORS_CROSS_THREADS = false;
