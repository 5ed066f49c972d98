"""Ridge regression in closed form, as strong as leave-one-out says: what some hundred measurements can say of states
as wide as a model.

    y ≈ a + b · z + x · w,  with w held to 0 by λ‖w‖²

The line in z is not held back. With every column standardised, λ is the one of `STRENGTHS` whose predictions of the
rows that were left out err least, squared; the largest leaves next to nothing of w. Each row's prediction without it
follows from the whole fit: e_i / (1 − h_i), with the residual e and the diagonal h of the hat matrix (PRESS; Allen
1974, "The relationship between variable selection and data augmentation and a method for prediction").

Shapes: N rows, D columns of x, K eigenvalues, min(N, D) at most, S strengths. In float64 on the processor.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

STRENGTHS = 10.0 ** torch.arange(-1, 6.01, 0.5, dtype=torch.float64)
"""λ as multiples of the mean eigenvalue."""


@dataclass(frozen=True)
class Ridge:
    """What was learnt. line: a and b. mean_D, scale_D: of x in the rows that were learnt from."""

    line: tuple[float, float]
    weight_D: Tensor
    mean_D: Tensor
    scale_D: Tensor

    def predict(self, x_ND: Tensor, z_N: Tensor) -> Tensor:
        constant, slope = self.line
        return constant + slope * z_N.double() + (x_ND.double() - self.mean_D) / self.scale_D @ self.weight_D


def fit_ridge(x_ND: Tensor, z_N: Tensor, y_N: Tensor) -> Ridge:
    """N: at least 3. A column that does not vary, and a z that does not, say nothing."""
    x_ND, z_N, y_N = x_ND.double(), z_N.double(), y_N.double()
    mean_D, scale_D = x_ND.mean(0), x_ND.std(0).clamp(min=1e-6)
    x_ND = (x_ND - mean_D) / scale_D
    lines_N2 = torch.stack([torch.ones_like(z_N), z_N], 1)
    # What the line explains is taken out of x and y first, so that what is held back has no share in it (Frisch and
    # Waugh 1933). By the pseudo-inverse, for a z that is constant.
    inverse_2N = torch.linalg.pinv(lines_N2)
    rest_ND, rest_N = x_ND - lines_N2 @ (inverse_2N @ x_ND), y_N - lines_N2 @ (inverse_2N @ y_N)
    value_K, left_NK = _decompose(rest_ND)
    strength_S = STRENGTHS * value_K.mean()
    along_K = left_NK.T @ rest_N
    kept_SK = value_K / (value_K + strength_S[:, None])
    error_SN = rest_N - (kept_SK * along_K) @ left_NK.T
    hat_SN = (lines_N2 * inverse_2N.T).sum(1) + kept_SK @ (left_NK**2).T
    best = int(((error_SN / (1 - hat_SN).clamp(min=1e-9)) ** 2).sum(1).argmin())
    weight_D = rest_ND.T @ (left_NK @ (along_K / (value_K + strength_S[best])))
    constant, slope = (inverse_2N @ (y_N - x_ND @ weight_D)).tolist()
    return Ridge((constant, slope), weight_D, mean_D, scale_D)


def _decompose(x_ND: Tensor) -> tuple[Tensor, Tensor]:
    """(eigenvalues of x xᵀ, their vectors as columns), those above rounding; by the smaller of x xᵀ and xᵀ x."""
    rows, columns = x_ND.shape
    value_K, vector_KK = torch.linalg.eigh(x_ND @ x_ND.T if rows <= columns else x_ND.T @ x_ND)
    kept = value_K > 1e-10 * value_K[-1].clamp(min=1e-10)
    value_K, vector_KK = value_K[kept], vector_KK[:, kept]
    return value_K, vector_KK if rows <= columns else x_ND @ vector_KK / value_K.sqrt()
