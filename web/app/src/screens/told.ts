import { useAct } from '../lib/act';
import { errorText } from '../state/errors';
import { toast } from '../ui/toast';

/** Tells at the edge of the page what went wrong. */
export const tell = (error: unknown): void => toast(errorText(error), { kind: 'error' });

/** useAct where there is no field to stand beside: what goes wrong is told at the edge of the page. */
export const useToldAct = () =>
  useAct((error) => {
    tell(error);
    return '';
  });
