import torch

from apiece.models._kit.pyramid import Pyramid, mean_around


def test_a_small_map_has_one_mean() -> None:
    x = torch.rand(2, 3, 4, 9)
    assert torch.allclose(mean_around(x, 9), x.mean((2, 3), keepdim=True).expand_as(x))


def test_squares_lie_around_a_cell_and_inside() -> None:
    x = torch.rand(1, 2, 6, 7)
    found = mean_around(x, 3)
    for row, column, top, left in ((2, 3, 1, 2), (0, 0, 0, 0), (5, 6, 3, 4), (0, 4, 0, 3)):
        square = x[:, :, top : top + 3, left : left + 3]
        assert torch.allclose(found[:, :, row, column], square.mean((2, 3)))


def test_larger_maps_leave_their_border_out_where_there_is_room() -> None:
    x = torch.rand(1, 1, 7, 5)
    found = mean_around(x, 3, 2)
    assert torch.allclose(found[0, 0, 0, 0], x[0, 0, 2:5, 1:4].mean())
    assert torch.allclose(found[0, 0, 6, 2], x[0, 0, 2:5, 1:4].mean())
    x = torch.rand(1, 1, 9, 3)
    for row, top in ((0, 2), (3, 2), (4, 3), (8, 4)):
        assert torch.allclose(mean_around(x, 3, 2)[0, 0, row, 1], x[0, 0, top : top + 3].mean())


def test_a_tile_is_seen_as_in_the_whole_image() -> None:
    torch.manual_seed(0)
    neck = Pyramid((4, 4), 8, "batch").eval()
    fine, coarse = torch.rand(1, 4, 120, 120), torch.rand(1, 4, 60, 60)
    whole = neck([fine, coarse])
    tile = neck([fine[:, :, 20:100, 20:100], coarse[:, :, 10:50, 10:50]])
    assert torch.allclose(tile[1][:, :, 13:-13, 13:-13], whole[1][:, :, 23:-23, 23:-23], atol=1e-5)
    assert torch.allclose(tile[0][:, :, 27:-27, 27:-27], whole[0][:, :, 47:-47, 47:-47], atol=1e-5)
