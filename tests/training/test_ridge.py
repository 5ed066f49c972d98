import pytest
import torch

from herl_bench.training.ridge import STRENGTHS, fit_ridge


def draw(rows: int, columns: int, noise: float = 0.1, seed: int = 0) -> tuple[torch.Tensor, ...]:
    """x, z and a y that hangs on the first column of x, on z, and on chance."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, columns, generator=generator, dtype=torch.float64) * 3 + 5
    z = torch.rand(rows, generator=generator, dtype=torch.float64)
    return x, z, 0.5 - 0.4 * z + 0.2 * x[:, 0] + noise * torch.randn(rows, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(("rows", "columns"), [(200, 6), (30, 64)])
def test_it_is_the_ridge_that_leaving_each_row_out_chooses(rows: int, columns: int) -> None:
    """Against the normal equations of each strength, fitted again without each row."""
    x, z, y = draw(rows, columns)
    found = fit_ridge(x, z, y)
    standard = (x - x.mean(0)) / x.std(0)
    line = torch.stack([torch.ones_like(z), z], 1)
    rest = standard - line @ torch.linalg.lstsq(line, standard).solution
    unit = torch.linalg.matrix_rank(rest).item()
    mean = (rest**2).sum() / unit

    def solve(strength: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        design = torch.cat([line, standard], 1)[kept]
        penalty = torch.diag(torch.tensor([0.0, 0.0] + [1.0] * columns, dtype=torch.float64))
        return torch.linalg.solve(design.T @ design + strength * mean * penalty, design.T @ y[kept])

    errors = []
    for strength in STRENGTHS:
        left_out = []
        for i in range(rows):
            kept = torch.arange(rows) != i
            left_out.append((torch.cat([line[i], standard[i]]) @ solve(strength, kept) - y[i]) ** 2)
        errors.append(torch.stack(left_out).sum())
    best = STRENGTHS[int(torch.stack(errors).argmin())]
    expected = torch.cat([line, standard], 1) @ solve(best, torch.ones(rows, dtype=torch.bool))
    assert found.predict(x, z).tolist() == pytest.approx(expected.tolist(), abs=1e-6)


def test_states_that_say_nothing_leave_the_line_alone() -> None:
    x, z, y = draw(400, 100)
    found = fit_ridge(x[torch.randperm(400, generator=torch.Generator().manual_seed(1))][:, 1:], z, 0.5 - 0.4 * z)
    assert found.line == pytest.approx((0.5, -0.4), abs=1e-6)
    new_x, new_z, new_y = draw(400, 100, seed=2)
    assert ((fit_ridge(x, z, y).predict(new_x, new_z) - new_y) ** 2).mean() < 0.1 * new_y.var()


def test_what_does_not_vary_says_nothing() -> None:
    x = torch.ones(5, 3)
    found = fit_ridge(x, torch.full((5,), 0.5), torch.tensor([0.0, 0.2, 0.4, 0.6, 0.8]))
    assert found.predict(torch.full((1, 3), 1.0), torch.tensor([0.5])).item() == pytest.approx(0.4)
    assert torch.isfinite(found.predict(torch.full((1, 3), 1.001), torch.tensor([0.7]))).all()
