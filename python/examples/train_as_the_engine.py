import torch
import qmse.io
import qmse.torch

model = qmse.io.load_model("first.safetensors")  # the network with the engine's initial weights
data = qmse.io.Dataset("fashion-mnist", "train", limit=640)
criterion = qmse.torch.QMSE(seed=1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
for epoch in range(2):
    total = 0.0
    for pixels, labels, indices in torch.utils.data.DataLoader(data, 64, sampler=data.order(epoch, seed=1)):
        optimizer.zero_grad()
        loss = criterion(model(pixels), labels, sample_ids=indices)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(labels)
    print(f"epoch {epoch + 1}: train loss {total / len(data):.7g}")
